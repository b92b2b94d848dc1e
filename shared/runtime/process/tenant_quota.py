"""How many interactive requests of a tenant the front takes; further ones go on in the bulk lane."""

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

WINDOW_S = 60.0


class TenantQuota:
    """Counts the requests of each tenant within the last ``WINDOW_S`` seconds, in this process. Thread-safe."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        """``limit``: requests of one tenant in the window; 0: no limit. ``clock`` returns seconds."""
        self._limit = limit
        self._clock = clock
        self._taken: dict[str, OrderedDict[str, float]] = {}
        self._lock = Lock()

    def takes(self, tenant: str, request_id: str) -> bool:
        """Whether the request is within the quota; it then counts, once, however often it is delivered."""
        if not self._limit:
            return True
        with self._lock:
            since = self._clock() - WINDOW_S
            for name, taken in list(self._taken.items()):
                while taken and next(iter(taken.values())) <= since:
                    taken.popitem(last=False)
                if not taken:
                    del self._taken[name]
            counted = self._taken.setdefault(tenant, OrderedDict())
            if request_id not in counted and len(counted) >= self._limit:
                return False
            counted.setdefault(request_id, self._clock())
            return True
