"""A text stream in place of ``sys.stderr`` that logs each line; native code writes to descriptor 2 as before."""

import io
import re
import threading

import structlog

MAX_LINE = 20_000
"""Characters that are kept of a line; more than the log shows, because secrets are found before it is cut."""
_BREAK = re.compile(r"[\r\n]")
"""A carriage return too: progress displays end their lines with nothing else."""
_DESCRIPTOR = 2


class StderrLines(io.TextIOBase):
    """Logs complete lines at once and the rest in ``flush``, per thread: lines of two threads are never joined."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._unfinished: dict[int, str] = {}
        """The text after the last line break, by thread."""
        self.buffer = _Bytes(self)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """Standard error: ``faulthandler`` and child processes write there."""
        return _DESCRIPTOR

    def write(self, text: str) -> int:
        thread = threading.get_ident()
        with self._lock:
            *lines, rest = _BREAK.split(self._unfinished.pop(thread, "") + text)
            if rest:
                self._unfinished[thread] = rest[:MAX_LINE]
        _log(lines)
        return len(text)

    def flush(self) -> None:
        """Log the unfinished lines of this thread and of threads that have ended."""
        if not self._unfinished:
            return
        others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
        with self._lock:
            lines = [self._unfinished.pop(thread) for thread in list(self._unfinished) if thread not in others]
        _log(lines)


class _Bytes(io.BufferedIOBase):
    """The ``buffer`` of the stream, for writers of bytes."""

    def __init__(self, lines: StderrLines) -> None:
        super().__init__()
        self._lines = lines

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return _DESCRIPTOR

    def write(self, data: object) -> int:
        content = bytes(memoryview(data))  # type: ignore[arg-type]
        self._lines.write(content.decode(errors="backslashreplace"))
        return len(content)

    def flush(self) -> None:
        self._lines.flush()


def _log(lines: list[str]) -> None:
    for line in filter(str.strip, lines):
        structlog.get_logger().warning("stderr", text=line)
