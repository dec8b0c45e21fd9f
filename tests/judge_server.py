"""A server on this machine that speaks the OpenAI chat protocol, well or badly."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[dict[str, Any], int], "Reply"]
"""From the body of a request and how many came before to what the server replies."""


class Reply:
    """What the server sends; with `hang`, nothing for so many seconds."""

    def __init__(
        self, body: Any = None, *, status: int = 200, headers: dict[str, str] | None = None, hang: float = 0.0
    ) -> None:
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status = status
        self.headers = headers or {}
        self.hang = hang


def said(text: str, log_probs: dict[str, float] | None = None) -> Reply:
    """A good reply."""
    choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    if log_probs is not None:
        top = [{"token": token, "logprob": log_prob} for token, log_prob in log_probs.items()]
        choice["logprobs"] = {"content": [{"token": text, "logprob": 0.0, "top_logprobs": top}]}
    return Reply({"choices": [choice], "usage": {"prompt_tokens": 12, "completion_tokens": 1}})


class Server:
    """Its address, and all that it was sent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.n_at_once = 0
        self.most_at_once = 0


@contextmanager
def judge_server(answer: Answer) -> Iterator[Server]:
    """A server that replies as `answer` says, for the length of the block."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(server.bodies)
                server.bodies.append(body)
                server.headers.append(dict(self.headers))
                server.n_at_once += 1
                server.most_at_once = max(server.most_at_once, server.n_at_once)
            reply = answer(body, number)
            time.sleep(reply.hang)
            with lock:
                server.n_at_once -= 1
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)
            except OSError:
                pass  # the client had waited long enough

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{listener.server_port}/v1")
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
