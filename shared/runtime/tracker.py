"""What of a partition may be committed: the contiguous prefix of finished records."""

from shared.runtime.record import Lease


class Tracker:
    """One assigned partition. Used by the pump's thread only.

    With several slots the records of a partition end out of order; committing past one that still runs would lose it
    in a crash.
    """

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self._running: set[int] = set()
        self._next = -1
        self._committed = -1

    @property
    def running(self) -> bool:
        """Whether a record of this partition is being worked on."""
        return bool(self._running)

    def start(self, offset: int) -> None:
        """A record was taken; offsets come in rising order."""
        self._running.add(offset)
        self._next = max(self._next, offset + 1)

    def finish(self, offset: int) -> None:
        """A record was settled. One that was never started, or twice, is a bug: KeyError."""
        self._running.remove(offset)

    def drop(self, offset: int) -> None:
        """A record was taken, but not worked on: it must be delivered again."""
        self._running.discard(offset)
        self._next = min(self._next, offset)

    def committable(self) -> int | None:
        """The offset to commit (the next to read), or None when nothing is new."""
        upto = min([*self._running, self._next])
        return upto if upto > max(self._committed, -1) else None

    def committed(self, offset: int) -> None:
        """The broker took a commit."""
        self._committed = max(self._committed, offset)
