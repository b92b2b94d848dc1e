"""Rate limits: a token bucket for each API key of this replica."""

import time
from collections import OrderedDict
from collections.abc import Callable

from stages.gateway.caller import Caller
from stages.gateway.problems import Problem

MAX_KEYS = 10_000
"""Buckets that are remembered, those used last; one that was forgotten is full again, as it was by then."""


class Rates:
    """Lets ``burst`` requests of a key pass at once, and ``per_s`` a second on average."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Tokens, and when they were counted, by key."""

    def take(self, caller: Caller) -> None:
        """Take a token. Raises Problem RATE_LIMITED with the time until there is one."""
        now = self._clock()
        left, counted = self._left.pop(caller.key_id, (float(self._burst), now))
        left = min(float(self._burst), left + (now - counted) * self._per_s)
        if left < 1:
            self._left[caller.key_id] = (left, now)
            raise Problem(
                429,
                "RATE_LIMITED",
                f"more than {self._per_s:g} requests a second with this API key",
                retry_s=(1 - left) / self._per_s,
            )
        self._left[caller.key_id] = (left - 1, now)
        if len(self._left) > MAX_KEYS:
            self._left.popitem(last=False)
