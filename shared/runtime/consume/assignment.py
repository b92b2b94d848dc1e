"""A consumed record, the assignment of its partition to this process, and the offsets that may be committed."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

from shared.messages.topics import DAY_MS, WORK_DAYS

OLDEST_MS = 2 * WORK_DAYS * DAY_MS
"""Maximum age of a record of a work topic, milliseconds: see ``WORK_DAYS``."""
REMEMBERED = 1000
"""Number of records recognised when they are delivered again; an older one is processed again, which is harmless."""
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
    crashes: int = 0
    """How often the worker process or the whole service died or hung on this record, in whichever process."""

    def appended_ms(self, now_ms: int) -> int:
        """When the broker received the record, milliseconds since the epoch. ``now_ms`` is this machine's clock.

        By the broker's clock where it set the timestamp: a deadline counts from it. A producer's timestamp is used only
        where it is plausible: its clock may be wrong, or count seconds.
        """
        if self.producer_time and not now_ms - OLDEST_MS <= self.timestamp_ms <= now_ms:
            return now_ms
        return self.timestamp_ms


@dataclass(slots=True)
class PartitionAssignment:
    """The assignment of a partition to this process, until it is revoked or lost.

    The consumer loop writes it, slots read it; a bool needs no lock.
    """

    topic: str
    partition: int
    held: bool = field(default=True)
    """False: another member owns the partition and does this work; this process must publish nothing for it."""
    revoking: bool = field(default=False)
    """True: the group is moving the partition to another member, which waits for the tasks that run here."""
    count_crash: Callable[[int], None] = field(default=lambda _: None)
    """Note that the worker process died on the record at this offset. On return the broker has the count, so that it
    survives the death of this service. Any thread."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A slot has finished a record."""

    record: Record
    assignment: PartitionAssignment
    settled: bool
    """False: the record was not settled and must be delivered again."""


Completions = SimpleQueue[Completion]
"""Queue from the slots to the consumer loop, which commits the settled records."""


class OffsetTracker:
    """Tracks the contiguous prefix of finished records of one partition. Used by the consumer loop's thread only.

    With several slots the records of a partition finish out of order; a commit past a running or dropped record would
    lose it in a crash. Every offset from the first one delivered to the position is running, dropped or done (finished,
    or not a record). The committable offset is the lowest running or dropped offset, or the position.
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
            self._next = self._committed = -1
        self._dropped.discard(offset)
        self._running[offset] += 1
        self._seen[offset] = identity
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
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

    def committable(self) -> int | None:
        """The offset to commit (the next one to read); None when it is already committed."""
        offset = min([*self._running, *self._dropped, self._next])
        return offset if offset > self._committed else None

    def committed(self, offset: int) -> None:
        """Note that the broker accepted a commit."""
        self._committed = max(self._committed, offset)
