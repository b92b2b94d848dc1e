"""A small OTLP/HTTP receiver for the local stack: stores traces in the state folder and answers queries.

``POST /v1/traces`` (OTLP 1.x, protobuf, optional gzip), ``GET /traces/<id>``, ``GET /healthz``, ``GET /jobs/<job id>``
(with ``?tenant=<name>`` only the spans of that tenant's job; else every trace with a job of that id), ``GET /renders``
(the newest renders: ``where`` is an expression of `shared.telemetry.query.language`, ``since_ns``, ``until_ns``,
``limit``), ``GET /linked/<id>`` (ids of the traces with a span that is linked to this trace: its replays).
"""

import argparse
import json
import signal
import sqlite3
import sys
import threading
import zlib
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from shared.local import loopback_peer
from shared.local.ports import HOST
from shared.local.trace_store import TraceStore
from shared.runtime.host.bounded_http import BoundedHTTPServer
from shared.telemetry.query.errors import QueryError
from shared.telemetry.query.language import parse
from shared.telemetry.spans import StoredSpan, parts_exceed, read_spans
from shared.telemetry.trace_tree import job_spans

MAX_BODY_BYTES = 4 << 20
"""Largest request, compressed and decompressed: eight kilobytes for each of the 512 spans of a batch."""
MAX_PARTS = 50_000
"""Most spans of a request, with their attributes, events and links: an empty one has two bytes in the request and up to
a kilobyte in memory."""
REQUEST_S = 30.0
"""Time for a request and its answer, seconds; then the connection and its thread end."""
MAX_CONNECTIONS = 32
"""Open connections; a further one ends the oldest. Each may hold a request in memory."""
MAX_RENDERS = 10_000
"""Most renders of an answer."""


class TooLarge(Exception):
    """The decompressed request exceeds a limit."""


def decode(body: bytes) -> list[StoredSpan]:
    """The spans of an OTLP export request. Raises DecodeError, TooLarge."""
    resources = ExportTraceServiceRequest.FromString(body).resource_spans
    if parts_exceed(resources, MAX_PARTS):
        raise TooLarge
    return read_spans(resources)


def decompressed(body: bytes) -> bytes:
    """The contents of a gzip body. Raises TooLarge beyond MAX_BODY_BYTES, zlib.error for a body that is no gzip."""
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    contents = decompressor.decompress(body, MAX_BODY_BYTES)
    if decompressor.unconsumed_tail:
        raise TooLarge
    if not decompressor.eof:
        raise zlib.error("the body is truncated")
    return contents


def handler(store: TraceStore) -> type[BaseHTTPRequestHandler]:
    """The request handler of a trace store."""

    class Receiver(BaseHTTPRequestHandler):
        timeout = REQUEST_S

        def parse_request(self) -> bool:
            """Refuse other users of the machine: spans name jobs and tenants, and a forged one would be believed."""
            if not super().parse_request():
                return False
            if loopback_peer.is_allowed(self.client_address, self.connection.getsockname()):
                return True
            self._answer(403, b"")
            return False

        def do_POST(self) -> None:
            if self.path != "/v1/traces":
                self._answer(404, b"")
                return
            length = self.headers.get("Content-Length") or ""
            if not (length.isascii() and length.isdecimal()) or self.headers.get("Transfer-Encoding"):
                self._answer(411, b"")  # Also for a body in chunks, which no OTLP exporter sends.
            elif len(length) > 10 or int(length) > MAX_BODY_BYTES:
                self._answer(413, b"")
            else:
                self._answer(*self._take(self.rfile.read(int(length))))

        def _take(self, body: bytes) -> tuple[int, bytes, str]:
            """Status, body and content type. No request ends the receiver, and every request is answered."""
            try:
                if self.headers.get("Content-Encoding") == "gzip":
                    body = decompressed(body)
                store.add(decode(body))
            except TooLarge:
                return 413, b"", "text/plain"
            except (DecodeError, zlib.error):
                return 400, b"", "text/plain"
            except (sqlite3.Error, OSError) as e:
                return self._failed(503, e)  # The disk may be full for now: the client retries.
            except Exception as e:  # noqa: BLE001 - any other input that fails to parse
                return self._failed(400, e)
            return 200, ExportTraceServiceResponse().SerializeToString(), "application/x-protobuf"

        def _failed(self, status: int, error: Exception) -> tuple[int, bytes, str]:
            sys.stderr.write(f"{self.command} {self.path[:100]!r}: {type(error).__name__}: {error}\n")
            return status, b"", "text/plain"

        def do_GET(self) -> None:
            try:
                self._get()
            except ConnectionError:
                raise  # The client has closed the connection.
            except Exception as e:  # noqa: BLE001 - an unreadable file, or a full disk
                self._answer(*self._failed(503, e))

        def _get(self) -> None:
            url = urlsplit(self.path)
            kind, _, name = url.path.lstrip("/").partition("/")
            if kind == "healthz":
                self._json({"ok": True})
            elif kind == "traces":
                self._json([asdict(span) for span in store.trace(unquote(name))])
            elif kind == "jobs":
                job, tenant = unquote(name), parse_qs(url.query).get("tenant", [None])[0]
                traces = {trace: store.trace(trace) for trace in store.job_traces(job)}
                if tenant is not None:
                    traces = {trace: job_spans(spans, tenant, job) for trace, spans in traces.items()}
                self._json({trace: [asdict(span) for span in spans] for trace, spans in traces.items() if spans})
            elif kind == "renders":
                self._renders({name: values[0] for name, values in parse_qs(url.query).items()})
            elif kind == "linked":
                self._json(store.linked(unquote(name)))
            else:
                self._answer(404, b"")

        def _renders(self, asked: dict[str, str]) -> None:
            try:
                expression = parse(where) if (where := asked.get("where", "").strip()) else None
                since, until, limit = (int(asked[name]) for name in ("since_ns", "until_ns", "limit"))
            except (QueryError, KeyError, ValueError) as e:
                self._answer(400, str(e).encode())
                return
            found = store.renders(expression, since, until, min(limit, MAX_RENDERS))
            self._json([asdict(span) for span in found])

        def _json(self, value: object) -> None:
            self._answer(200, json.dumps(value).encode(), "application/json")

        def _answer(self, status: int, body: bytes, content_type: str = "text/plain") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Not logged: every export would be a line."""

    return Receiver


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="shared.local.traces")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--keep", type=int, required=True, help="traces kept")
    options = parser.parse_args()
    store = TraceStore(options.file, options.keep)
    server = BoundedHTTPServer(
        (HOST, options.port), handler(store), max_connections=MAX_CONNECTIONS, connection_s=REQUEST_S
    )
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    server.server_close()
    store.close()


if __name__ == "__main__":
    main()
