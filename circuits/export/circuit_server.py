"""The page of a circuit over HTTP, for the reader's own browser.

The server listens on 127.0.0.1 alone, answers GET and HEAD, and has a fixed table of addresses: no part of a request
ever becomes a path. Requests that name another host are refused, so that a page from elsewhere whose name was made to
point here learns nothing.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from circuits.export.page import page_text
from circuits.graph.circuit import Circuit

__all__ = ["CircuitServer", "Resource", "circuit_resources"]

ADDRESS = "127.0.0.1"
HOSTS = (ADDRESS, "localhost")
FILES = {
    "circuit.json": "application/json",
    "circuit.safetensors": "application/octet-stream",
    "circuit.png": "image/png",
    "circuit.html": "text/html; charset=utf-8",
}
ALWAYS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class Resource:
    """What is answered at one address."""

    content: bytes
    kind: str
    """Its media type."""


def circuit_resources(path: Path) -> dict[str, Resource]:
    """The page at `/` and the files that `circuits discover` wrote, by address; read now and not again.

    Args:
        path: A circuit's directory, or its `circuit.json`.

    Raises:
        ValueError: If there is no valid circuit.
    """
    page = page_text(Circuit.load(path)).encode()
    directory = path if path.is_dir() else path.parent
    present = {name: directory / name for name in FILES if (directory / name).is_file()}
    files = {f"/{name}": Resource(file.read_bytes(), FILES[name]) for name, file in present.items()}
    return {**files, "/": Resource(page, FILES["circuit.html"])}


class CircuitServer(ThreadingHTTPServer):
    """Serves some resources until it is shut down.

    Args:
        resources: By address, as in `/circuit.json`.
        port: To listen on; 0 takes a free one.

    Raises:
        ValueError: If the port is taken or not allowed.
    """

    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, resources: Mapping[str, Resource], *, port: int = 0) -> None:
        self.resources = resources
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            reason = error.strerror or error
            raise ValueError(f"port {port} cannot be used ({reason}); give another --port or leave it out") from error

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{ADDRESS}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: CircuitServer
    server_version = "circuits"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._refuse_method
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: requests are of no interest to who asked for the page."""

    def _answer(self, *, with_content: bool) -> None:
        if self.headers.get_all("Host") not in [[f"{host}:{self.server.server_port}"] for host in HOSTS]:
            self._send(HTTPStatus.FORBIDDEN, with_content=with_content)
            return
        resource = self.server.resources.get(self.path)
        status = HTTPStatus.NOT_FOUND if resource is None else HTTPStatus.OK
        self._send(status, resource, with_content=with_content)

    def _refuse_method(self) -> None:
        self.close_connection = True
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, with_content=True, headers={"Allow": "GET, HEAD"})

    def _send(
        self,
        status: HTTPStatus,
        resource: Resource | None = None,
        *,
        with_content: bool,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        resource = resource or Resource(f"{status.value} {status.phrase}\n".encode(), "text/plain; charset=utf-8")
        self.send_response(status)
        own = {"Content-Type": resource.kind, "Content-Length": str(len(resource.content))}
        for name, value in {**own, **ALWAYS, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_content:
            with suppress(ConnectionError):  # a reader that has gone away
                self.wfile.write(resource.content)
