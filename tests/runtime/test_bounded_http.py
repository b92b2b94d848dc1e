"""Half-open and slow connections: bounded in number and in time, and never in the way of a probe."""

import contextlib
import socket
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from shared.runtime.host import health
from shared.runtime.host.bounded_http import BoundedHTTPServer

MAX_CONNECTIONS = 5


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def served(connection_s: float) -> Iterator[BoundedHTTPServer]:
    server = BoundedHTTPServer(("127.0.0.1", 0), Hello, max_connections=MAX_CONNECTIONS, connection_s=connection_s)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def half_open(server: BoundedHTTPServer) -> socket.socket:
    """A connection that has sent a part of its request."""
    connection = socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=60)
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n")
    return connection


def is_ended(connection: socket.socket) -> bool:
    """Whether the server closes the connection, in order or because it leaves something unread."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def status(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=60) as answer:
        return int(answer.status)


def test_half_open_connections_are_bounded_and_a_probe_is_answered() -> None:
    with served(connection_s=3600) as server, contextlib.ExitStack() as clients:
        waiting = [clients.enter_context(half_open(server)) for _ in range(4 * MAX_CONNECTIONS)]
        assert status(server.server_address[1]) == 200
        for connection in waiting[: 3 * MAX_CONNECTIONS]:
            assert is_ended(connection), "the oldest are ended"
        assert len(server._opened) <= MAX_CONNECTIONS


def test_client_that_sends_a_byte_from_time_to_time_is_ended() -> None:
    """No single read of it takes long."""
    with served(connection_s=0.2) as server, half_open(server) as connection:
        connection.settimeout(0.02)
        while True:
            try:
                connection.sendall(b"a")
            except ConnectionError:
                break
            with contextlib.suppress(TimeoutError):
                if is_ended(connection):
                    break


def test_connections_that_end_by_themselves_are_forgotten() -> None:
    with served(connection_s=3600) as server:
        for _ in range(3 * MAX_CONNECTIONS):
            assert status(server.server_address[1]) == 200
            half_open(server).close()
        assert status(server.server_address[1]) == 200
        assert len(server._opened) <= MAX_CONNECTIONS


def test_health_port_answers_while_all_its_connections_are_half_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "MAX_CONNECTIONS", MAX_CONNECTIONS)
    server = health.HealthServer("127.0.0.1", 0, lambda: None, lambda: None, lambda _: (b"", "text/plain"))
    server.start()
    try:
        with contextlib.ExitStack() as clients:
            waiting = [clients.enter_context(half_open(server._server)) for _ in range(MAX_CONNECTIONS + 1)]
            assert is_ended(waiting[0])
            assert status(server.port) == 200
    finally:
        server.close()
