"""What the server answers, and above all what it refuses."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading

import pytest
from example_circuits import example_circuit

from circuits.export.circuit_server import CircuitServer, circuit_resources


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "circuit"
    example_circuit().save(path)
    (path / "circuit.png").write_bytes(b"picture")
    (path / "notes.txt").write_text("mine", encoding="utf-8")
    (path.parent / "secret.txt").write_text("secret", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def server(folder):
    with CircuitServer(circuit_resources(folder)) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(server, method, path, headers=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, body=body, headers=headers or {})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def test_the_page_and_the_files(server, folder):
    response, page = ask(server, "GET", "/")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"Content-Security-Policy" in page
    for name in ("circuit.json", "circuit.safetensors", "circuit.png"):
        response, content = ask(server, "GET", f"/{name}")
        assert (response.status, content) == (200, (folder / name).read_bytes())


def test_head_has_the_headers_alone(server, folder):
    response, content = ask(server, "HEAD", "/circuit.png")
    assert (response.status, content, response.headers["Content-Length"]) == (200, b"", "7")
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    ["/notes.txt", "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "//secret.txt", "/./circuit.json",
     "/etc/passwd", "//etc/passwd", "/circuit.json/", "/circuit.html", "/circuit.json?x=../..", "/circuit.json%00",
     "/\\..\\secret.txt", "circuit.json"],
)  # fmt: skip
def test_nothing_else_is_there(server, path):
    response, content = ask(server, "GET", path)
    assert response.status == 404
    assert b"secret" not in content


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND"])
def test_other_methods_are_refused(server, method):
    response, _ = ask(server, method, "/circuit.json", body=b"{}")
    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "host",
    ["example.org", "example.org:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.example.org:{port}",
     "127.0.0.1:{port}.example.org", "", "0.0.0.0:{port}"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_other_hosts_are_refused(server, host, method):
    response, content = ask(server, method, "/", {"Host": host.format(port=server.server_port)})
    assert response.status == 403
    assert b"pneumonia" not in content


def test_a_request_without_a_host_or_with_two_is_refused(server):
    for lines in ("", f"Host: 127.0.0.1:{server.server_port}\r\nHost: example.org\r\n"):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
            connection.sendall(f"GET / HTTP/1.1\r\n{lines}\r\n".encode())
            assert b" 403 " in connection.recv(100)


def test_localhost_is_this_machine(server):
    assert ask(server, "GET", "/", {"Host": f"localhost:{server.server_port}"})[0].status == 200


def test_it_listens_on_the_loopback_address_alone(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_port}/"


def test_a_file_that_appears_later_is_not_served(server, folder):
    (folder / "circuit.html").write_text("later", encoding="utf-8")
    assert ask(server, "GET", "/circuit.html")[0].status == 404


def test_a_taken_port_is_one_line(server, folder):
    with pytest.raises(ValueError, match=rf"port {server.server_port} cannot be used .* give another --port"):
        CircuitServer(circuit_resources(folder), port=server.server_port)


@pytest.mark.slow
def test_the_command_prints_its_address_and_ends_with_zero(folder):
    # where tests run in the background, an interruption would be ignored
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; from circuits.cli import main; main(['view', {str(folder)!r}, '--no-open', '--json'])"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        url = json.loads(run.stdout.readline())["url"]
        port = int(url.rstrip("/").rsplit(":", 1)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        run.send_signal(signal.SIGINT)
        try:
            rest, errors = run.communicate(timeout=60)
        finally:
            run.kill()
    assert (run.returncode, rest, errors.strip()) == (0, "", "")
