"""Collectors of the tests: the built-in receiver over HTTP, one over gRPC, and ones that fail in a given way."""

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server
from threading import Thread
from typing import Any

import grpc
import trustme
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from shared.local import traces
from shared.local.trace_store import StoredSpan, TraceStore

HOST = "localhost"


@dataclass
class Authority:
    """A certificate authority of the tests, and files that it made: of the authority, of a server and of a client."""

    folder: Path
    ca: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self) -> None:
        self.ca.cert_pem.write_to_path(self.folder / "ca.pem")
        for name in ("server", "client"):
            issued = self.ca.issue_cert(HOST)
            issued.private_key_pem.write_to_path(self.folder / f"{name}.key")
            issued.cert_chain_pems[0].write_to_path(self.folder / f"{name}.pem")

    def file(self, name: str) -> str:
        return str(self.folder / name)


@dataclass
class Collector:
    """What a collector has received."""

    port: int = 0
    spans: list[StoredSpan] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]


@contextmanager
def http_collector(folder: Path, tls: Authority | None = None) -> Iterator[Collector]:
    """The receiver of the local stack; with ``tls`` it asks for a certificate of the client, too."""
    collector, store = Collector(), TraceStore(folder / "spans.sqlite", 100)
    receiver = traces.handler(store)

    class Recording(receiver):  # type: ignore[valid-type,misc]
        def do_POST(self) -> None:  # noqa: N802
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            super().do_POST()

    add = store.add
    store.add = lambda spans: collector.spans.extend(spans) or add(spans)  # type: ignore[method-assign,func-returns-value]
    server = ThreadingHTTPServer((HOST, 0), Recording)
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.file("ca.pem"))
        context.load_cert_chain(tls.file("server.pem"), tls.file("server.key"))
        context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
    collector.port = server.server_address[1]
    with serving(server):
        yield collector
    store.close()


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[int]:
    """Serve in a thread; the port."""
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def grpc_collector(tls: Authority | None = None) -> Iterator[Collector]:
    """A gRPC server of OpenTelemetry's own service; with ``tls`` it asks for a certificate of the client, too."""
    collector = Collector()

    class Service(TraceServiceServicer):
        def Export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:  # noqa: N802
            collector.headers.append({name: str(value) for name, value in context.invocation_metadata()})
            collector.spans.extend(traces.decode(request.SerializeToString()))
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(Service(), server)
    if tls is None:
        collector.port = server.add_insecure_port(f"{HOST}:0")
    else:
        key, chain, ca = (Path(tls.file(name)).read_bytes() for name in ("server.key", "server.pem", "ca.pem"))
        credentials = grpc.ssl_server_credentials([(key, chain)], ca, require_client_auth=True)
        collector.port = server.add_secure_port(f"{HOST}:0", credentials)
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()


@contextmanager
def black_hole() -> Iterator[int]:
    """The port of a collector that accepts connections and never answers."""
    with create_server(("127.0.0.1", 0), backlog=64) as silent:
        yield silent.getsockname()[1]


@contextmanager
def refusing(status: int = 503) -> Iterator[int]:
    """The port of a collector that answers every request with an error."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Not logged."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield port


@contextmanager
def closed() -> Iterator[int]:
    """A port that refuses connections: it is bound, and nobody listens."""
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
