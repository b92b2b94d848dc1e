"""How many event streams are open, and of which tenants: a further one is refused before it costs anything."""

from collections import Counter

from stages.gateway.problems import Problem

RETRY_S = 10.0
"""When a refused watcher may ask again, seconds: by then others may have left."""


class Places:
    """The places for watchers; used by the event loop alone."""

    def __init__(self, most: int, most_per_tenant: int) -> None:
        self._most = most
        self._most_per_tenant = most_per_tenant
        self._taken: Counter[str] = Counter()

    def take(self, tenant: str) -> "Place":
        """A place for a watcher of the tenant. Raises Problem TOO_MANY_WATCHERS."""
        if self._taken.total() >= self._most:
            raise _refused(503, f"this gateway has {self._most} open event streams, and takes no more", self._most)
        if self._taken[tenant] >= self._most_per_tenant:
            raise _refused(429, f"the tenant has {self._most_per_tenant} open event streams, and may have no more",
                           self._most_per_tenant)  # fmt: skip
        self._taken[tenant] += 1
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
            if not self._taken[self._tenant]:
                del self._taken[self._tenant]


def _refused(status: int, message: str, most: int) -> Problem:
    return Problem(
        status,
        "TOO_MANY_WATCHERS",
        message,
        allowed=f"at most {most} at a time",
        hint="ask again later, or ask for the state: GET /v1/renders/{id}",
        retry_s=RETRY_S,
    )
