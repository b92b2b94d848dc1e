"""HTTP requests to the trace receiver and to the health port, and the bodies of OTLP exports."""

import functools
import gzip
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from unittest import mock

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.local import loopback_peer
from shared.local.trace_store import TraceStore
from shared.local.traces import TooLarge, decode, decompressed
from shared.local.traces import handler as receiver
from shared.runtime.host.health import HealthServer
from tests.fuzz.target import Target

STATUS_LINE = b"HTTP/1.0 "


class Connection:
    """A connection on which the client has sent the input and waits."""

    def __init__(self, received: bytes) -> None:
        self._received = received
        self.sent = b""

    def makefile(self, *_: Any) -> io.BytesIO:
        return io.BytesIO(self._received)

    def sendall(self, data: bytes) -> None:
        self.sent += bytes(data)

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 2

    def settimeout(self, _: float) -> None:
        """The input is there."""


def served(handler: type[BaseHTTPRequestHandler], path: Path) -> str:
    """The status that the request ends with; a client that sends no line gets none."""
    connection: Any = Connection(path.read_bytes())
    handler(connection, ("127.0.0.1", 1), None)  # type: ignore[arg-type]
    if not connection.sent:
        return "no answer"
    if not connection.sent.startswith(STATUS_LINE):
        return "HTTP/0.9"
    status = connection.sent[len(STATUS_LINE) :][:3].decode()
    assert status.isdigit() and status != "500", connection.sent[:200]
    return status


@functools.cache
def _receiver() -> type[BaseHTTPRequestHandler]:
    import tempfile

    return receiver(TraceStore(Path(tempfile.mkdtemp()) / "spans.sqlite", keep=20))


@functools.cache
def _health() -> type[BaseHTTPRequestHandler]:
    server = HealthServer("127.0.0.1", 0, lambda: None, lambda: "not ready", lambda _: (b"m", "text/plain"))
    server._server.server_close()
    return server._server.RequestHandlerClass  # type: ignore[return-value]


def receive(path: Path) -> str:
    """A request to the trace receiver, of its own user: the kernel has no such connection."""
    with mock.patch.object(loopback_peer, "is_allowed", return_value=True):
        return served(_receiver(), path)


def probe(path: Path) -> str:
    """A request to the health port."""
    return served(_health(), path)


def export() -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    resource = made.resource_spans.add()
    name = resource.resource.attributes.add()
    name.key, name.value.string_value = "service.name", "infer"
    span = resource.scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.name = bytes(range(16)), bytes(range(8)), "render"
    span.start_time_unix_nano, span.end_time_unix_nano = 1_000, 3_000
    for key, value in {"render.job": "job-1", "tenant": "default"}.items():
        attribute = span.attributes.add()
        attribute.key, attribute.value.string_value = key, value
    number = span.attributes.add()
    number.key, number.value.double_value = "audio.drift_ms", 4.5
    nested = span.attributes.add()
    nested.key = "list"
    nested.value.array_value.values.add().int_value = 3
    span.events.add().attributes.add().key = "e"
    span.links.add().trace_id = bytes(range(16))
    return made


def exports() -> Sequence[bytes]:
    return [export().SerializeToString()]


def requests() -> Sequence[bytes]:
    body = export().SerializeToString()
    packed = gzip.compress(body)
    post = b"POST /v1/traces HTTP/1.1\r\nContent-Type: application/x-protobuf\r\n"
    return [
        post + b"Content-Length: %d\r\n\r\n" % len(body) + body,
        post + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed,
        post + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        post + b"Content-Length: -1\r\n\r\n",
        b"GET /jobs/job-1?tenant=default HTTP/1.1\r\n\r\n",
        b"GET /renders?where=inference.steps%20%3E%2020&since_ns=0&until_ns=99999&limit=5 HTTP/1.1\r\n\r\n",
        b"GET /linked/000102 HTTP/1.1\r\n\r\n",
    ]


def probes() -> Sequence[bytes]:
    return [
        b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n",
        b"HEAD /readyz HTTP/1.0\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text\r\n\r\n",
        b"GET /livez\r\n",
    ]


def otlp(path: Path) -> str:
    """The body of an export: spans that can be stored as JSON, or a refusal."""
    try:
        spans = decode(path.read_bytes())
    except (DecodeError, TooLarge) as error:
        return f"refused: {type(error).__name__}"
    json.dumps([asdict(span) for span in spans]).encode()
    return "spans" if spans else "no spans"


def unpack(path: Path) -> str:
    """A body as gzip."""
    try:
        decompressed(path.read_bytes())
    except (TooLarge, zlib.error) as error:
        return f"refused: {type(error).__name__}"
    return "read"


def packed_bodies() -> Sequence[bytes]:
    return [gzip.compress(export().SerializeToString()), gzip.compress(bytes(3 << 20))]


TARGETS = [
    Target("http.receiver", requests, receive, in_python=True),
    Target("http.health", probes, probe, in_python=True),
    Target("http.otlp", exports, otlp, in_python=True),
    Target("http.gzip", packed_bodies, unpack, in_python=True),
]
