"""Sees a partition that the client has stopped fetching: librdkafka can lose one for good when a broker comes back."""

import time
from collections.abc import Callable, Mapping

Partition = tuple[str, str]
FETCHING = {"active", "none"}
"""Fetch states in librdkafka's statistics that are not a wait for something; a paused partition is active, too."""
PATIENCE_S = 60.0


class FetchStallDetector:
    """Watches fetch states as the statistics tell them. Thread: the one that polls."""

    def __init__(self, patience_s: float = PATIENCE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_s = patience_s
        self._clock = clock
        self._since: dict[Partition, float] = {}

    def stuck(self, states: Mapping[Partition, str]) -> str | None:
        """What to say when an assigned partition has not been fetched for that long; ``states`` are all assigned ones.

        Only a new client mends that; the service should end and be started again.
        """
        now = self._clock()
        self._since = {at: self._since.get(at, now) for at, state in states.items() if state not in FETCHING}
        for (topic, number), since in self._since.items():
            if now - since > self._patience_s:
                return f"{topic} partition {number} has been in state {states[topic, number]} for {now - since:.0f} s"
        return None
