"""The health port: liveness, readiness and metrics, served by a thread that no task can block."""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from types import MappingProxyType

import structlog

from shared.runtime.host.bounded_http import BoundedHTTPServer
from shared.runtime.watched_thread import WatchedThread

log = structlog.get_logger()

Probe = Callable[[], str | None]
"""Returns None when the check passes, else the reason."""
REQUEST_S = 10.0
"""Time for a request and its answer, seconds; then the connection and its thread end."""
MAX_CONNECTIONS = 64
"""Open connections; a further one ends the oldest. A probe, a scrape and a few people need under ten."""
Metrics = Callable[[str], tuple[bytes, str]]
"""Maps the Accept header to body and content type."""


class HealthServer:
    """Serves ``/livez``, ``/readyz`` and ``/metrics``.

    HEAD is answered as GET, without a body. Live: the consumer loop polls. Ready: the model is loaded and the group
    joined. A busy service is both.
    """

    def __init__(
        self,
        host: str,
        port: int,
        live: Probe,
        ready: Probe,
        metrics: Metrics,
        on_failure: Callable[[str], None] = lambda _: None,
        details: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """``on_failure`` receives the reason when the thread dies. ``/readyz`` answers with ``details`` beside its
        reason, as they are then."""
        self._live = live
        self._ready = ready
        self._metrics = metrics
        self._details = details
        self._server = BoundedHTTPServer(
            (host, port), self._handler(), max_connections=MAX_CONNECTIONS, connection_s=REQUEST_S
        )
        self._closing = threading.Event()
        self._thread = WatchedThread("health", self._server.serve_forever, on_failure, self._closing)

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Start to answer requests."""
        self._thread.start()

    def close(self) -> None:
        """Stop the server and free the port."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            timeout = REQUEST_S

            def do_GET(self) -> None:
                try:
                    self._get()
                except OSError:
                    raise  # The client has closed the connection.
                except Exception as e:
                    log.exception("probe_failed", path=self.path)
                    self._answer(500, f"{type(e).__name__}".encode(), "text/plain")

            def do_HEAD(self) -> None:
                self.do_GET()  # `_answer` leaves the body out.

            def _get(self) -> None:
                if self.path == "/metrics":
                    body, content_type = server._metrics(self.headers.get("Accept", ""))
                    self._answer(200, body, content_type)
                elif self.path in ("/livez", "/readyz"):
                    live = self.path == "/livez"
                    reason = (server._live if live else server._ready)()
                    details = {} if live else dict(server._details)
                    body = json.dumps({"ok": reason is None, "reason": reason, **details}).encode()
                    self._answer(200 if reason is None else 503, body, "application/json")
                else:
                    self._answer(404, b"", "text/plain")

            def _answer(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing: probes arrive every second."""

        return Handler
