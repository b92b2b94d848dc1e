"""A clock and its pending events: the core of a discrete-event simulation."""

import heapq
from collections.abc import Callable


class Events:
    """Runs callbacks in the order of their times; of equal times, in the order in which they were added."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds."""
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._added = 0

    def at(self, time: float, callback: Callable[[], None]) -> None:
        """Call at ``time``, seconds, not before now."""
        heapq.heappush(self._heap, (max(time, self.now), self._added, callback))
        self._added += 1

    def run(self, done: Callable[[], bool]) -> None:
        """Run until ``done`` or until nothing is left."""
        while self._heap and not done():
            self.now, _, callback = heapq.heappop(self._heap)
            callback()
