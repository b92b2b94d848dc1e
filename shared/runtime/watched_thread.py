"""Background threads whose unexpected end is reported; by default a process does not notice it."""

import threading
from collections.abc import Callable

import structlog

from shared.runtime.failures import EndsService

log = structlog.get_logger()


class WatchedThread(threading.Thread):
    """A daemon thread that must run until ``stop`` is set.

    If ``target`` raises or returns before, ``on_failure`` receives the reason, in this thread; an exception is logged
    with its stack. After ``stop`` is set, its end is not reported.
    """

    def __init__(
        self, name: str, target: Callable[[], None], on_failure: Callable[[str], None], stop: threading.Event
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._work = target
        self._on_failure = on_failure
        self._stopping = stop

    def run(self) -> None:
        """The body of the thread; `start` calls it."""
        try:
            self._work()
            reason = f"the thread {self.name} ended unexpectedly"
        except EndsService as e:
            reason = str(e)
        except BaseException as e:
            reason = f"the thread {self.name} failed: {type(e).__name__}: {e}"
            if not self._stopping.is_set():
                log.exception("thread_failed", thread=self.name)
        if self._stopping.is_set():
            log.debug("thread_ended", thread=self.name)
        else:
            self._on_failure(reason)
