"""An HTTP server that half-open and slow connections can't exhaust: their number and their duration are limited."""

import contextlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog

log = structlog.get_logger()


class BoundedHTTPServer(ThreadingHTTPServer):
    """A thread for each connection, at most ``max_connections`` of them.

    One more connection ends the oldest, so a client that holds all of them open does not lock out a probe. A connection
    that is older than ``connection_s`` ends whatever it does: a client that sends a byte from time to time never
    reaches the time limit of a single read.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        *,
        max_connections: int,
        connection_s: float,
    ) -> None:
        """Listen on ``address``; port 0 takes any. Raises OSError."""
        self._max_connections = max_connections
        self._connection_s = connection_s
        self._opened: dict[socket.socket, float] = {}
        """Open connections, oldest first, with the time at which they were accepted."""
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start the thread of a connection; end the oldest one when there are too many."""
        with self._lock:
            self._opened[request] = time.monotonic()
            while len(self._opened) > self._max_connections:
                self._end(next(iter(self._opened)))
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Called about twice a second: end connections that are too old."""
        oldest_allowed = time.monotonic() - self._connection_s
        with self._lock:
            for connection in [c for c, opened in self._opened.items() if opened < oldest_allowed]:
                self._end(connection)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection whose thread has ended."""
        with self._lock:  # Its descriptor must not be reused while another thread may still end it.
            self._opened.pop(request, None)
            super().shutdown_request(request)

    def handle_error(self, *_: Any) -> None:
        """Log a closed connection or a malformed request at debug level, without a stack on stderr."""
        log.debug("http_request_failed", exc_info=True)

    def _end(self, connection: socket.socket) -> None:
        """Wake up the connection's thread, which closes it."""
        del self._opened[connection]
        with contextlib.suppress(OSError):  # The client has closed it.
            connection.shutdown(socket.SHUT_RDWR)
