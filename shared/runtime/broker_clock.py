"""The broker's time, without trusting this machine's clock.

Every record of a topic with LogAppendTime bears the broker's time at which it was appended. The delivery report of a
record that was just sent shows that the time is at least this, and whether the time here had run ahead. What has passed
here since, by the monotonic clock, is added. The result is a lower bound: it does not run ahead, not with a wrong
clock, not after a restart, and not for long after the broker's own clock was set back.
"""

import time
from collections.abc import Callable
from threading import Lock

FRESH_S = 5.0
"""The relay sends a record only when a report has confirmed the time within this time, seconds."""
REFRESH_S = 30.0
"""While records wait at the relay, the time is confirmed this often, seconds: the broker's clock may have been set
forward."""
DRIFT = 0.001
"""Largest difference in speed of two clocks that NTP disciplines: 500 ppm each."""


class BrokerClock:
    """A lower bound of the broker's time. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = Lock()
        self._bound_ms = 0.0
        self._bound_at: float | None = None
        self._reported_at: float | None = None

    def observe(self, timestamp_ms: int) -> None:
        """Note the broker's timestamp of a consumed record.

        It counts before the first report only: the broker's clock may have been set back since it was written.
        """
        with self._lock:
            if self._reported_at is None:
                now = self._monotonic()
                bound_ms = self._bound(now)
                self._set(timestamp_ms if bound_ms is None else max(timestamp_ms, bound_ms), now)

    def sent(self) -> float:
        """The moment at which a record is given to the producer, for ``reported``."""
        return self._monotonic()

    def reported(self, timestamp_ms: int, sent_at: float) -> None:
        """Note the broker's timestamp of a record whose delivery was just reported, and which was sent at
        ``sent_at``."""
        with self._lock:
            now = self._monotonic()
            bound_ms = self._bound(now)
            bound_when_sent = None if bound_ms is None else bound_ms - (now - sent_at) * 1000 * (1 + DRIFT)
            if bound_ms is None or bound_when_sent is None or timestamp_ms < bound_when_sent - 1:
                # The broker appended the record after it was sent: so its clock was set back. A timestamp is whole
                # milliseconds, therefore the 1.
                bound_ms = timestamp_ms
            self._set(max(timestamp_ms, bound_ms), now)
            self._reported_at = now

    def now_ms(self) -> int | None:
        """The bound, milliseconds since the epoch; None before the first record."""
        with self._lock:
            bound_ms = self._bound(self._monotonic())
        return None if bound_ms is None else int(bound_ms)

    @property
    def is_fresh(self) -> bool:
        """Whether a report has confirmed the time within ``FRESH_S``."""
        age_s = self._age_s()
        return age_s is not None and age_s <= FRESH_S

    @property
    def is_stale(self) -> bool:
        """Whether no report has confirmed the time within ``REFRESH_S``."""
        age_s = self._age_s()
        return age_s is None or age_s > REFRESH_S

    def _set(self, bound_ms: float, now: float) -> None:
        self._bound_ms, self._bound_at = bound_ms, now

    def _bound(self, now: float) -> float | None:
        if self._bound_at is None:
            return None
        return self._bound_ms + (now - self._bound_at) * 1000 * (1 - DRIFT)

    def _age_s(self) -> float | None:
        reported_at = self._reported_at
        return None if reported_at is None else self._monotonic() - reported_at
