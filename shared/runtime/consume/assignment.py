"""A consumed record, this process's hold on its partition, and what of that partition may be committed."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

from shared.messages.topics import DAY_MS, WORK_DAYS

OLDEST_MS = 2 * WORK_DAYS * DAY_MS
"""No record of a work topic is older: see ``WORK_DAYS``."""
REMEMBERED = 1000
"""So many records are recognised when they are delivered again; an older one is processed again, which is harmless."""
Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a work topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    """The timestamp that the broker stores, milliseconds since the epoch."""
    producer_time: bool = False
    """The timestamp comes from the producer's clock: the topic is not set to LogAppendTime."""

    def appended_ms(self, now_ms: int) -> int:
        """When the broker received the record, never after ``now_ms``; milliseconds since the epoch.

        A producer's time counts only where it can be true: its clock may be wrong, or count seconds.
        """
        if self.producer_time and not now_ms - OLDEST_MS <= self.timestamp_ms <= now_ms:
            return now_ms
        return min(self.timestamp_ms, now_ms)


@dataclass(slots=True)
class PartitionAssignment:
    """This process's hold on a partition, from its assignment to its revocation or loss.

    The consumer loop writes it, slots read it; a bool needs no lock.
    """

    topic: str
    partition: int
    held: bool = field(default=True)
    """False: the partition is another member's, which does this work too; nothing may be published here any more."""
    revoking: bool = field(default=False)
    """The group is about to give the partition to another member, which waits for the tasks that run here."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A slot is through with a record."""

    record: Record
    assignment: PartitionAssignment
    settled: bool
    """False: it is neither settled nor at fault, and must be delivered again."""


Completions = SimpleQueue[Completion]
"""From the slots to the consumer loop, which commits what they hold."""


class OffsetTracker:
    """One assigned partition: the contiguous prefix of its finished records. Used by the consumer loop's thread only.

    With several slots the records of a partition finish out of order; a commit past one that still runs, or that was
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
        """Whether a record of this partition is being processed."""
        return bool(self._running)

    def start(self, offset: int, identity: Hashable = None) -> bool:
        """Register a delivered record; False when the same one runs or is done, and must not be processed again.

        ``identity`` distinguishes a second delivery from another record at the same offset, as in a topic that was
        deleted and created again while it was read: that one is accepted. So is one that was dropped. After True,
        ``finish`` or ``drop`` must be called once.
        """
        known = offset in self._seen and self._seen[offset] == identity
        if known and offset not in self._dropped:
            return False
        if not known and offset < self._next:
            # The client went back: what it delivers from here on must be committed from here on.
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
        """Mark a record as settled. Raises KeyError for one that does not run: a bug."""
        self._stop(offset)

    def drop(self, offset: int) -> None:
        """Give back a record that was not settled: it must be delivered again. Raises KeyError as ``finish``.

        Nothing at or past it is committed until it has been started again and finished.
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
        """Note that all records before ``position`` were delivered: the client is at the end of the partition.

        The position is past offsets that hold no record for us: control records and aborted transactions, compacted and
        expired records. Without it the committed offset would stay before them for ever.
        """
        self._next = max(self._next, position)

    def committable(self) -> int | None:
        """The offset to commit (the next to read), or None when nothing is new."""
        upto = min([*self._running, *self._dropped, self._next])
        return upto if upto > self._committed else None

    def committed(self, offset: int) -> None:
        """Note a commit that the broker accepted."""
        self._committed = max(self._committed, offset)
