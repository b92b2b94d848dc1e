"""What of a partition may be committed: the contiguous prefix of finished records."""

from collections import Counter
from collections.abc import Hashable

from shared.runtime.record import PartitionAssignment

REMEMBERED = 1000
"""So many records are known when they are delivered once more; an older one is worked on again, which is harmless."""


class OffsetTracker:
    """One assigned partition. Used by the consumer loop's thread only.

    With several slots the records of a partition end out of order; committing past one that still runs, or that was
    given back, would lose it in a crash. Every offset from the first one delivered to the position is running, dropped
    or done (finished, or no record at all): the commit is the lowest of the running, the dropped and the position.
    """

    def __init__(self, assignment: PartitionAssignment) -> None:
        self.assignment = assignment
        self._running = Counter[int]()
        self._dropped: set[int] = set()
        self._seen: dict[int, Hashable] = {}
        self._next = -1
        self._committed = -1

    @property
    def running(self) -> bool:
        """Whether a record of this partition is being worked on."""
        return bool(self._running)

    def start(self, offset: int, identity: Hashable = None) -> bool:
        """A record was delivered; False when the same one runs or is done already, and must not be worked on again.

        ``identity`` tells a second delivery from another record at the same offset, as in a topic that was deleted and
        made anew while it was read: that is taken. So is one that was dropped. Whoever gets True calls ``finish`` or
        ``drop`` once.
        """
        known = offset in self._seen and self._seen[offset] == identity
        if known and offset not in self._dropped:
            return False
        if not known and offset < self._next:
            # The client went back: what it delivers from here on is to be committed from here on.
            self._seen.clear()
            self._next = self._committed = -1
        self._dropped.discard(offset)
        self._running[offset] += 1
        self._seen[offset] = identity
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._next = max(self._next, offset + 1)
        return True

    def finish(self, offset: int) -> None:
        """A record was settled. One that does not run is a bug: KeyError."""
        self._end(offset)

    def drop(self, offset: int) -> None:
        """A record was taken, but not worked on to its end: it must be delivered again. KeyError as ``finish``.

        Nothing at or past it is committed until it has been started again and finished.
        """
        self._end(offset)
        self._dropped.add(offset)

    def _end(self, offset: int) -> None:
        if offset not in self._running:
            raise KeyError(offset)
        self._running[offset] -= 1
        if self._running[offset] == 0:
            del self._running[offset]

    def reached(self, position: int) -> None:
        """All records before ``position`` have been delivered: the client is at the end of the partition.

        The position is past what is no record for us: control records and aborted transactions, compacted and expired
        records. Without it the committed offset would stay before them for ever.
        """
        self._next = max(self._next, position)

    def committable(self) -> int | None:
        """The offset to commit (the next to read), or None when nothing is new."""
        upto = min([*self._running, *self._dropped, self._next])
        return upto if upto > self._committed else None

    def committed(self, offset: int) -> None:
        """The broker took a commit."""
        self._committed = max(self._committed, offset)
