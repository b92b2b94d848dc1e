"""How many event streams are open, and of which tenants: a further one is refused before it costs anything."""

from collections import Counter

from shared.telemetry import metrics
from stages.gateway.problems import Problem

RETRY_S = 10.0
"""When a refused watcher may ask again, seconds: by then others may have left."""
HINT = "ask again later, or ask for the state: GET /v1/renders/{id}"


class Places:
    """The places for watchers; used by the event loop alone."""

    def __init__(self, most: int, most_per_tenant: int) -> None:
        self._most = most
        self._most_per_tenant = most_per_tenant
        self._taken: Counter[str] = Counter()

    def take(self, tenant: str) -> "Place":
        """A place for a watcher of the tenant. Raises Problem TOO_MANY_WATCHERS."""
        if self._taken.total() >= self._most:
            metrics.EVENT_STREAMS_REFUSED.labels("gateway").inc()
            message = f"this gateway has {self._most} open event streams, and takes no more"
            raise Problem(503, "TOO_MANY_WATCHERS", message, allowed=_limit(self._most), hint=HINT, retry_s=RETRY_S)
        if self._taken[tenant] >= self._most_per_tenant:
            metrics.EVENT_STREAMS_REFUSED.labels("tenant").inc()
            message, most = f"the tenant has {self._most_per_tenant} open event streams", self._most_per_tenant
            raise Problem(429, "TOO_MANY_WATCHERS", message, allowed=_limit(most), hint=HINT, retry_s=RETRY_S)
        self._taken[tenant] += 1
        metrics.EVENT_STREAMS.inc()
        return Place(self._taken, tenant)

    @property
    def taken(self) -> int:
        """Open event streams."""
        return self._taken.total()


class Place:
    """The place of one watcher."""

    def __init__(self, taken: Counter[str], tenant: str) -> None:
        self._taken = taken
        self._tenant = tenant
        self._is_held = True

    def leave(self) -> None:
        """Give it back; safe to repeat."""
        if self._is_held:
            self._is_held = False
            self._taken[self._tenant] -= 1
            metrics.EVENT_STREAMS.dec()
            if not self._taken[self._tenant]:
                del self._taken[self._tenant]


def _limit(most: int) -> str:
    return f"at most {most} at a time"
