"""Which offset of a partition may be committed."""

from collections import Counter
from collections.abc import Hashable

REMEMBERED = 1000
"""Number of finished records recognised when they are delivered again; an older one is processed again, which is
harmless. One that waits or runs is always recognised."""


class OffsetTracker:
    """Tracks the contiguous prefix of finished records of one partition. Used by the consumer loop's thread only.

    With several slots the records of a partition finish out of order; a commit past a running or dropped record would
    lose it in a crash. Every offset from the first one delivered to the position is running, dropped or done (finished,
    or not a record). The committable offset is the lowest running or dropped offset, or the position.
    """

    def __init__(self) -> None:
        self.restarts = 0
        """How often the client moved back to other records, as in a recreated topic."""
        self._running = Counter[int]()
        self._dropped: set[int] = set()
        self._seen: dict[int, Hashable] = {}
        self._next = -1

    @property
    def running(self) -> bool:
        """Whether a record of this partition is being processed."""
        return bool(self._running)

    def start(self, offset: int, identity: Hashable = None) -> bool:
        """Register a delivered record; False when the same record runs or is done, and must not be processed again.

        ``identity`` distinguishes a second delivery from another record at the same offset, as in a topic that was
        deleted and created again while it was read. Another record, or one that was dropped, is accepted. After True,
        ``finish`` or ``drop`` must be called once.
        """
        known = offset in self._seen and self._seen[offset] == identity
        if known and offset not in self._dropped:
            return False
        if not known and offset < self._next:
            # The client moved back: commits start again from this offset.
            self._seen.clear()
            self._next = -1
            self.restarts += 1
        self._dropped.discard(offset)
        self._running[offset] += 1
        self._seen[offset] = identity
        if len(self._seen) > REMEMBERED + len(self._running):
            del self._seen[next(one for one in self._seen if one not in self._running)]
        self._next = max(self._next, offset + 1)
        return True

    def finish(self, offset: int) -> None:
        """Mark a record as settled. Raises KeyError for a record that is not running, which is a bug."""
        self._stop(offset)

    def drop(self, offset: int) -> None:
        """Mark a record as not settled: it must be delivered again. Raises KeyError as ``finish`` does.

        No offset past it is committed until it has been started again and finished.
        """
        self._stop(offset)
        self._dropped.add(offset)

    def _stop(self, offset: int) -> None:
        if offset not in self._running:
            raise KeyError(offset)
        self._running[offset] -= 1
        if self._running[offset] == 0:
            del self._running[offset]

    def reached(self, position: int) -> None:
        """Note that the client has delivered all records before ``position``, the end of the partition.

        The position is past offsets without a readable record: control records, aborted transactions, compacted and
        expired records. Without it the committed offset would stay before them for ever.
        """
        self._next = max(self._next, position)

    @property
    def ahead(self) -> int:
        """Number of offsets from the committable one to the position: what would be delivered again."""
        offset = self.committable()
        return 0 if offset is None else self._next - offset

    def committable(self) -> int | None:
        """The offset to commit (the next one to read); None before anything is known of the partition.

        It never decreases, unless the client moves back to other records.
        """
        offset = min([*self._running, *self._dropped, self._next])
        return offset if offset >= 0 else None
