"""A small proxy before the object store that breaks what passes: late, cut, refused, truncated and altered answers."""

import re
import socket
import struct
import threading
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Literal, Self

Kind = Literal["delay", "blackhole", "cut reply", "503", "truncated body", "flipped byte"]
BLOCK = 64 * 1024
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"


@dataclass
class WireFault:
    """One fault of the wire.

    ``delay``: the answer starts ``seconds`` late. ``blackhole``: no answer, the connection stays open. ``cut reply``:
    the request is carried out, and the connection is reset in the middle of its answer. ``503``: answered by the proxy.
    ``truncated body``: the connection is closed after half of the body. ``flipped byte``: one byte of the body differs.
    """

    kind: Kind
    methods: str = "GET|PUT|HEAD|POST|DELETE"
    path: str = ".*"
    """Pattern of the paths, of the whole path with the query."""
    times: int | None = None
    """Number of requests that it breaks; None for all."""
    seconds: float = 0.0

    def concerns(self, method: str, path: str, body: bool | None) -> bool:
        """Whether it breaks this request; ``body``: whether the answer has one, None before the answer."""
        if not re.fullmatch(self.methods, method) or not re.fullmatch(self.path, path) or self.times == 0:
            return False
        return body is not False or self.kind not in ("truncated body", "flipped byte")


@dataclass
class WireProxy:
    """Use as a context manager; ``port`` is its own on loopback. ``faults`` may be changed at any time."""

    target: tuple[str, int]
    faults: list[WireFault] = field(default_factory=list)
    broken: Counter[str] = field(default_factory=Counter)
    """How many requests each kind of fault has broken."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._open: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="wire-proxy", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closed.set()
        # An accept that waits is not ended by closing its socket alone.
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def heal(self) -> None:
        """Remove every fault. What a blackhole holds stays without an answer."""
        with self._lock:
            self.faults.clear()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="wire-connection", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with ExitStack() as stack, suppress(OSError, ValueError):
            upstream = socket.create_connection(self.target, timeout=60)
            for one in (client, upstream):
                stack.callback(one.close)
                with self._lock:
                    self._open.add(one)
                stack.callback(self._forget, one)
            requests, answers = client.makefile("rb"), upstream.makefile("rb")
            while self._exchange(client, upstream, requests, answers):
                pass

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def _take(self, method: str, path: str, kinds: set[str], body: bool | None = None) -> WireFault | None:
        """The first fault of these kinds that concerns the request; counts it."""
        with self._lock:
            for fault in self.faults:
                if fault.kind in kinds and fault.concerns(method, path, body):
                    fault.times = None if fault.times is None else fault.times - 1
                    self.broken[fault.kind] += 1
                    return fault
        return None

    def _exchange(self, client: socket.socket, upstream: socket.socket, requests: BinaryIO, answers: BinaryIO) -> bool:
        """Pass one request and its answer; False at the end of the connection."""
        head = _read_head(requests)
        if not head:
            return False
        method, path = (part.decode("latin-1") for part in head.split(b" ", 2)[:2])
        expects = re.search(rb"\r\nexpect: *100-continue", head, re.IGNORECASE)
        if expects:
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            head = re.sub(rb"\r\nexpect: *100-continue", b"", head, flags=re.IGNORECASE)
        if self._take(method, path, {"503"}):
            _copy(requests, None, _length(head))
            client.sendall(BUSY)
            return False
        if self._take(method, path, {"blackhole"}):
            _copy(requests, None, _length(head))
            client.settimeout(None)
            client.recv(1)  # Until the client gives up, or the proxy is closed.
            return False
        upstream.sendall(head)
        _copy(requests, upstream, _length(head))
        if fault := self._take(method, path, {"delay"}):
            self._closed.wait(fault.seconds)
        return self._answer(client, answers, method, path)

    def _answer(self, client: socket.socket, answers: BinaryIO, method: str, path: str) -> bool:
        head = _read_head(answers)
        while head.startswith(b"HTTP/1.1 100"):
            head = _read_head(answers)
        bodiless = method == "HEAD" or re.match(rb"HTTP/1.1 (204|304)", head)
        chunked = re.search(rb"\r\ntransfer-encoding: *chunked", head, re.IGNORECASE) is not None
        length = 0 if bodiless else _length(head)
        if self._take(method, path, {"cut reply"}):
            client.sendall(head[: len(head) // 2])
            # With this option close() sends a reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        client.sendall(head)
        if length and self._take(method, path, {"truncated body"}, body=True):
            _copy(answers, client, length // 2)
            return False
        if length and self._take(method, path, {"flipped byte"}, body=True):
            first = answers.read(1)
            client.sendall(bytes([first[0] ^ 1]))
            length -= 1
        if chunked and not bodiless:
            _copy_chunks(answers, client)
        else:
            _copy(answers, client, length)
        return b"\r\nconnection: close" not in head.lower()


def _read_head(stream: BinaryIO) -> bytes:
    """The first line and the headers with their empty line; empty at the end of the stream."""
    lines = [stream.readline()]
    while lines[-1] not in (b"\r\n", b""):
        lines.append(stream.readline())
    return b"".join(lines) if lines[-1] else b""


def _length(head: bytes) -> int:
    found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return int(found[1]) if found else 0


def _copy(source: BinaryIO, target: socket.socket | None, length: int) -> None:
    while length > 0:
        block = source.read(min(BLOCK, length))
        if not block:
            raise OSError("the other side has closed the connection")
        length -= len(block)
        if target is not None:
            target.sendall(block)


def _copy_chunks(source: BinaryIO, target: socket.socket) -> None:
    while True:
        line = source.readline()
        target.sendall(line)
        size = int(line.split(b";")[0] or b"0", 16)
        _copy(source, target, size + 2)
        if size == 0:
            return
