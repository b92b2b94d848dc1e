"""Background threads whose death is seen: nothing else in a process notices that one of its threads has ended."""

import threading
from collections.abc import Callable

import structlog

from shared.runtime.failures import EndsService

log = structlog.get_logger()


class WatchedThread(threading.Thread):
    """A daemon thread that works until ``stop`` is set.

    If ``target`` raises, or returns earlier, that is logged with its stack and ``on_failure`` gets the reason, in this
    thread. Once ``stop`` is set it may end as it likes.
    """

    def __init__(
        self, name: str, target: Callable[[], None], on_failure: Callable[[str], None], stop: threading.Event
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._work = target
        self._on_failure = on_failure
        self._ending = stop

    def run(self) -> None:
        """What the thread does; `start` calls it."""
        try:
            self._work()
            reason = f"the thread {self.name} ended before its time"
        except EndsService as e:
            reason = str(e)
        except BaseException as e:
            reason = f"the thread {self.name} failed: {type(e).__name__}: {e}"
            if not self._ending.is_set():
                log.exception("thread_failed", thread=self.name)
        if self._ending.is_set():
            log.debug("thread_ended", thread=self.name)
        else:
            self._on_failure(reason)
