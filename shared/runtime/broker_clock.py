"""The broker's time, without trusting this machine's clock.

Every record of a topic with LogAppendTime, read or written, bears the broker's time at which it was appended. That time
plus what has passed here since, by the monotonic clock, is a lower bound of the broker's time: it never runs ahead, not
with a wrong clock, not after a restart. The newest record gives the best bound.
"""

import time
from collections.abc import Callable
from threading import Lock


class BrokerClock:
    """A lower bound of the broker's time, milliseconds since the epoch. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = Lock()
        self._ahead: float | None = None
        """Broker's time minus monotonic time, milliseconds: the largest seen."""

    def observe(self, timestamp_ms: int) -> None:
        """Note the broker's timestamp of a record that has just been read, or whose delivery was just reported."""
        ahead = timestamp_ms - self._monotonic() * 1000
        with self._lock:
            if self._ahead is None or ahead > self._ahead:
                self._ahead = ahead

    def now_ms(self) -> int | None:
        """The bound; None before the first record."""
        with self._lock:
            return None if self._ahead is None else int(self._ahead + self._monotonic() * 1000)
