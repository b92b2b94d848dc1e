"""The broker's time as the relay knows it: from delivery reports of its own records, checked before anything is sent.

Timestamps of consumed records are not used: the broker's clock may have been set back since they were written. The
report of a record that was just sent shows that the time is at least this, and whether the time here had run ahead.
"""

import time
from collections.abc import Callable

FRESH_S = 5.0
"""A record is sent only when a report has confirmed the time within this time, seconds."""
REFRESH_S = 30.0
"""While records wait, the time is confirmed this often, seconds: the broker's clock may have been set forward."""
DRIFT = 0.001
"""Largest difference in speed of two clocks that NTP disciplines: 500 ppm each."""


class ProbedClock:
    """A lower bound of the broker's time. Used by one thread."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._bound_ms = 0.0
        self._reported_at: float | None = None

    def sent(self) -> float:
        """The moment at which a record is given to the producer, for ``reported``."""
        return self._monotonic()

    def reported(self, timestamp_ms: int, sent_at: float) -> None:
        """Note the broker's timestamp of a record, whose delivery was just reported, and which was sent at
        ``sent_at``."""
        now = self._monotonic()
        bound_ms = self._bound_at(now)
        bound_when_sent = None if bound_ms is None else bound_ms - (now - sent_at) * 1000 * (1 + DRIFT)
        if bound_ms is None or bound_when_sent is None or timestamp_ms < bound_when_sent - 1:
            # The broker appended the record after it was sent: so its clock was set back. A timestamp is whole
            # milliseconds, therefore the 1.
            self._bound_ms = timestamp_ms
        else:
            self._bound_ms = max(timestamp_ms, bound_ms)
        self._reported_at = now

    def now_ms(self) -> int | None:
        """The bound, milliseconds since the epoch; None before the first report."""
        bound_ms = self._bound_at(self._monotonic())
        return None if bound_ms is None else int(bound_ms)

    @property
    def is_fresh(self) -> bool:
        """Whether records may be sent by this time."""
        age_s = self._age_s()
        return age_s is not None and age_s <= FRESH_S

    @property
    def is_stale(self) -> bool:
        """Whether the time must be confirmed while records wait."""
        age_s = self._age_s()
        return age_s is None or age_s > REFRESH_S

    def _bound_at(self, now: float) -> float | None:
        if self._reported_at is None:
            return None
        return self._bound_ms + (now - self._reported_at) * 1000 * (1 - DRIFT)

    def _age_s(self) -> float | None:
        return None if self._reported_at is None else self._monotonic() - self._reported_at
