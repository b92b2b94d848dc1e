"""Finds renders that took longer than the moving P99 of their kind: ``render.slow`` of the `render` span.

The tail sampling of a collector has no moving percentile; the stage that ends the jobs knows the duration of each.
"""

import threading
from bisect import bisect_left, insort
from collections import OrderedDict, deque

KEPT = 1000
"""Newest renders of a kind by which the next one is judged."""
WARM_UP = 100
"""Renders of a kind before one is judged: with fewer there is no 99th percentile but the longest one."""
MAX_KINDS = 64
"""Kinds that are remembered, of those seen last: the users choose the resolution."""
PERCENTILE = 99


class _Durations:
    """The newest durations of one kind, and the same in ascending order."""

    def __init__(self) -> None:
        self._newest: deque[float] = deque()
        self._ascending: list[float] = []

    def percentile(self) -> float | None:
        """The P99, nearest rank; None before WARM_UP durations."""
        count = len(self._ascending)
        return None if count < WARM_UP else self._ascending[-(-PERCENTILE * count // 100) - 1]

    def add(self, seconds: float) -> None:
        self._newest.append(seconds)
        insort(self._ascending, seconds)
        if len(self._newest) > KEPT:
            del self._ascending[bisect_left(self._ascending, self._newest.popleft())]


class SlowRenders:
    """The moving P99 for each engine and resolution. Thread-safe; at most MAX_KINDS * KEPT numbers."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[tuple[str, str], _Durations] = OrderedDict()
        self._lock = threading.Lock()

    def is_slow(self, engine: str, resolution: str, seconds: float) -> bool | None:
        """Whether a render of ``seconds`` is above the P99 of those before it; it then counts for the next ones. None
        before WARM_UP renders of the kind."""
        with self._lock:
            durations = self._kinds.setdefault((engine, resolution), _Durations())
            self._kinds.move_to_end((engine, resolution))
            if len(self._kinds) > MAX_KINDS:
                self._kinds.popitem(last=False)
            limit = durations.percentile()
            durations.add(seconds)
        return None if limit is None else seconds > limit
