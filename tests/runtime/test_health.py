"""The health port answers every request, also malformed ones and those whose probe fails."""

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from shared.runtime.host.health import HealthServer


@dataclass
class Served:
    server: HealthServer
    probe: list[Exception | str | None]
    failures: list[str]

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.server.port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture
def served() -> Iterator[Served]:
    probe: list[Exception | str | None] = [None]
    failures: list[str] = []

    def look() -> str | None:
        if isinstance(probe[0], Exception):
            raise probe[0]
        return probe[0]

    server = HealthServer("127.0.0.1", 0, look, look, lambda _: (b"m", "text/plain"), failures.append)
    server.start()
    yield Served(server, probe, failures)
    server.close()
    assert failures == [], "closing is no failure"


def test_probe_that_raises_returns_500_and_the_next_one_is_answered(served: Served) -> None:
    served.probe[0] = RecursionError()
    assert served.get("/livez") == (500, "RecursionError")
    served.probe[0] = "why not"
    code, body = served.get("/livez")
    assert (code, "why not" in body) == (503, True)
    served.probe[0] = None
    assert served.get("/livez")[0] == 200


@pytest.mark.parametrize(("path", "status"), [("/livez", 200), ("/readyz", 503), ("/metrics", 200), ("/x", 404)])
def test_head_is_answered_as_get_without_a_body(served: Served, path: str, status: int) -> None:
    served.probe[0] = None if path == "/livez" else "why not"
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=30) as caller:
        caller.sendall(f"HEAD {path} HTTP/1.0\r\n\r\n".encode())
        head = b"".join(iter(lambda: caller.recv(4096), b"")).decode()
    first, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
    assert head.endswith("\r\n\r\n"), "no body"
    assert first.split()[1] == str(status)
    assert f"Content-Length: {len(served.get(path)[1])}" in fields


@pytest.mark.parametrize(
    "request_bytes",
    [b"\x00\xff\r\n\r\n", b"GET /livez\xff HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 500, b""],
)
def test_malformed_http_request_harms_nothing(served: Served, request_bytes: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=30) as caller:
        caller.sendall(request_bytes)
    assert served.get("/livez")[0] == 200


def test_dead_server_thread_is_reported(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("no descriptors")

    monkeypatch.setattr(served.server._server, "service_actions", broken)
    served.server._thread.join(30)
    assert served.failures == ["the thread health failed: OSError: no descriptors"]
    served.failures.clear()
