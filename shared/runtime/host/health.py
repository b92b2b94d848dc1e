"""The health port: liveness, readiness and metrics, served by a thread that no task can block."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog

from shared.runtime.watched_thread import WatchedThread

log = structlog.get_logger()

Probe = Callable[[], str | None]
"""Returns None when the check passes, else the reason."""
NOT_READY = "not ready: "
"""Prefix of the reason of a service that runs but can't process records: no weights, no device, no disk space."""
REQUEST_S = 10.0
"""Time to send a whole request, seconds; then the connection and its thread end."""
Metrics = Callable[[str], tuple[bytes, str]]
"""Maps the Accept header to body and content type."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Log a closed connection or a malformed request at debug level, without a stack on stderr."""
        log.debug("probe_request_failed", exc_info=True)


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
    ) -> None:
        """``on_failure`` receives the reason when the thread dies."""
        self._live = live
        self._ready = ready
        self._metrics = metrics
        self._server = _Server((host, port), self._handler())
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
                    reason = (server._live if self.path == "/livez" else server._ready)()
                    body = json.dumps({"ok": reason is None, "reason": reason}).encode()
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
