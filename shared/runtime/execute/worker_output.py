"""What a worker process writes to stdout and stderr, as log lines with the job: native libraries, tracebacks."""

import threading
from contextvars import Context, copy_context
from typing import IO

import structlog

log = structlog.get_logger()

MAX_LINE = 2000
"""Bytes of one log line; a longer line becomes several."""
MAX_LINES = 200
"""Log lines of one task; hostile media can make a decoder write without end."""


class WorkerOutput:
    """Reads the output of one worker process in a background thread, until every process that holds it has ended."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._begin()
        self._thread = threading.Thread(target=self._read, name="worker-output", daemon=True)
        self._thread.start()

    def begin_task(self) -> None:
        """Log what comes from now on with the log fields and the span of the calling thread."""
        self._report()
        self._begin()

    def finish(self, timeout_s: float) -> None:
        """Wait until the output of an ended process is logged, for ``timeout_s`` seconds at most."""
        self._thread.join(timeout_s)

    def _begin(self) -> None:
        with self._lock:
            self._context: Context = copy_context()
            self._lines = 0

    def _read(self) -> None:
        with self._stream:
            while line := self._stream.readline(MAX_LINE):
                text = line.decode(errors="replace").strip()
                with self._lock:
                    self._lines += bool(text)
                    context, shown = self._context.copy(), bool(text) and self._lines <= MAX_LINES
                if shown:
                    context.run(log.warning, "worker_output", text=text)
        self._report()

    def _report(self) -> None:
        with self._lock:
            context, dropped = self._context.copy(), self._lines - MAX_LINES
            self._lines = min(self._lines, MAX_LINES)
        if dropped > 0:
            context.run(log.warning, "worker_output_dropped", lines=dropped)
