"""The health port: liveness, readiness and metrics, on a thread that no task can block."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog

from shared.runtime.watched_thread import WatchedThread

log = structlog.get_logger()

Probe = Callable[[], str | None]
"""None when all is well, else the reason in a few words."""
NOT_READY = "not ready: "
"""Prefix of the reason of a service that runs and can't work yet: no weights, no device."""
REQUEST_S = 10.0
"""A caller that has sent no whole request after so long is dropped, and its thread with it."""
Metrics = Callable[[str], tuple[bytes, str]]
"""From the Accept header to body and content type."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A caller that goes away, or sends no HTTP, is not worth a stack on stderr."""
        log.debug("probe_broken", exc_info=True)


class HealthServer:
    """Serves ``/livez``, ``/readyz`` and ``/metrics``.

    Alive means that the consumer loop polls; ready: the model is loaded and the group joined. A busy service is both.
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
        """``on_failure`` gets the reason when the thread has died."""
        self._live = live
        self._ready = ready
        self._metrics = metrics
        self._server = _Server((host, port), self._handler())
        self._closing = threading.Event()
        self._thread = WatchedThread("health", self._server.serve_forever, on_failure, self._closing)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            timeout = REQUEST_S

            def do_GET(self) -> None:
                try:
                    self._get()
                except OSError:
                    raise  # The caller has gone.
                except Exception as e:
                    log.exception("probe_failed", path=self.path)
                    self._answer(500, f"{type(e).__name__}".encode(), "text/plain")

            def _get(self) -> None:
                if self.path == "/metrics":
                    body, content_type = owner._metrics(self.headers.get("Accept", ""))
                    self._answer(200, body, content_type)
                elif self.path in ("/livez", "/readyz"):
                    reason = (owner._live if self.path == "/livez" else owner._ready)()
                    body = json.dumps({"ok": reason is None, "reason": reason}).encode()
                    self._answer(200 if reason is None else 503, body, "application/json")
                else:
                    self._answer(404, b"", "text/plain")

            def _answer(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Probes come every second; they are not worth a line."""

        return Handler
