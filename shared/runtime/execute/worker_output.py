"""What a worker process writes to stdout and stderr, as log lines with the job: native libraries, tracebacks."""

import os
import re
import select
import threading
from contextvars import Context, copy_context
from typing import IO

import structlog

log = structlog.get_logger()

MAX_LINE = 2000
"""Bytes of one log line; a longer line becomes several."""
MAX_LINES = 200
"""Log lines of one task, and of one time between two; hostile media can make a decoder write without end."""
READ_BYTES = 64 * 1024
MAX_READS = 32
"""At the begin and the end of a task; a pipe holds 1 MiB at most, unless an administrator allows more."""
_BREAK = re.compile(rb"[\r\n]")


class WorkerOutput:
    """Reads the output of one worker process in a background thread, until every process that holds it has ended.

    What is in the pipe when a task begins or ends is logged before the context changes, an unfinished line too: it
    belongs to what ran before.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._available = select.poll()
        self._available.register(stream, select.POLLIN)
        self._lock = threading.Lock()
        """Of everything below, and of reading."""
        self._context: Context = copy_context()
        self._lines = 0
        self._unfinished = b""
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="worker-output", daemon=True)
        self._thread.start()

    def begin_task(self) -> None:
        """Log what comes from now on with the log fields and the span of the calling thread."""
        self._change(copy_context())

    def end_task(self) -> None:
        """Log what comes from now on without log fields: the worker is idle."""
        self._change(Context())

    def finish(self, timeout_s: float) -> None:
        """Wait until the output of an ended process is logged, for ``timeout_s`` seconds at most."""
        self._thread.join(timeout_s)

    def _change(self, context: Context) -> None:
        with self._lock:
            self._read_available(MAX_READS)
            self._report()
            self._context, self._lines = context, 0

    def _read(self) -> None:
        waiting = select.poll()
        waiting.register(self._stream, select.POLLIN)
        with self._stream:
            while not self._ended:
                waiting.poll()
                with self._lock:
                    self._read_available(1)
            with self._lock:
                self._report()

    def _read_available(self, reads: int) -> None:
        for _ in range(reads):
            if self._ended or not self._available.poll(0):
                return
            data = os.read(self._stream.fileno(), READ_BYTES)
            self._ended = not data
            *lines, self._unfinished = _BREAK.split(self._unfinished + data)
            for line in lines:
                self._log(line)
            whole = len(self._unfinished) // MAX_LINE * MAX_LINE
            self._log(self._unfinished[:whole])
            self._unfinished = self._unfinished[whole:]

    def _log(self, line: bytes) -> None:
        for start in range(0, len(line), MAX_LINE):
            if text := line[start : start + MAX_LINE].decode(errors="replace").strip():
                self._lines += 1
                if self._lines <= MAX_LINES:
                    self._context.run(log.warning, "worker_output", text=text)

    def _report(self) -> None:
        """Log the unfinished line, and how many lines were dropped."""
        self._log(self._unfinished)
        dropped, self._unfinished = self._lines - MAX_LINES, b""
        self._lines = min(self._lines, MAX_LINES)
        if dropped > 0:
            self._context.run(log.warning, "worker_output_dropped", lines=dropped)
