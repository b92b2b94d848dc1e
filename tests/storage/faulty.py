"""A faulty object store: a proxy in front of the real one that refuses requests and damages bodies."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"}

Matches = Callable[[str, str], bool]
"""Matches a request by method and path with query."""


@dataclass(frozen=True)
class Refusal:
    """Answers matching requests with an error in S3's format; HEAD gets the status alone."""

    matches: Matches
    status: int
    code: str
    message: str = ""


@dataclass
class Damage:
    """Changes the body of matching answers: ``change`` gets the number of earlier ones, and the body."""

    matches: Matches
    change: Callable[[int, bytes], bytes]
    seen: int = 0


@dataclass
class FaultyStore:
    """The proxy. Faults may be added and cleared while it runs; ``requests`` lists the requests."""

    url: str = ""
    faults: list[Refusal | Damage] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, matches: Matches, status: int, code: str, message: str = "") -> None:
        self.faults.append(Refusal(matches, status, code, message))

    def damage(self, matches: Matches, change: Callable[[int, bytes], bytes]) -> None:
        self.faults.append(Damage(matches, change))


def flip(body: bytes) -> bytes:
    """The body with one bit in the middle inverted."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def about(part: str, *methods: str) -> Matches:
    """Matches requests with these methods (all when none is given) whose path contains ``part``."""
    return lambda method, path: part in path and (not methods or method in methods)


@contextmanager
def faulty_store(endpoint: str) -> Iterator[FaultyStore]:
    """Run the proxy in front of the object store at ``endpoint`` during the block."""
    store = FaultyStore()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(store, urlsplit(endpoint).netloc))
    server.daemon_threads = True
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(store: FaultyStore, behind: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _serve(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = unquote(self.path)
            store.requests.append((self.command, path))
            for fault in store.faults:
                if isinstance(fault, Refusal) and fault.matches(self.command, path):
                    self._refuse(fault)
                    return
            self._pass_on(sent, path)

        def _refuse(self, fault: Refusal) -> None:
            body = f"<Error><Code>{fault.code}</Code><Message>{fault.message}</Message></Error>".encode()
            self.send_response(fault.status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _pass_on(self, sent: bytes, path: str) -> None:
            connection = http.client.HTTPConnection(behind, timeout=30)
            # Forward the Host header unchanged: the signature covers it.
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            connection.request(self.command, self.path, sent or None, headers)
            answer = connection.getresponse()
            body = answer.read()
            length = answer.headers.get("Content-Length", str(len(body)))
            for fault in store.faults:
                if isinstance(fault, Damage) and fault.matches(self.command, path) and answer.status == 200:
                    fault.seen += 1
                    body = fault.change(fault.seen - 1, body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            if self.command != "HEAD" and len(body) < int(length):
                self.close_connection = True
            connection.close()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815

    return Handler
