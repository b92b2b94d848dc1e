"""A consumed record, the assignment of its partition to this process, and the completion of a record."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

from shared.messages.topics import DAY_MS, WORK_DAYS

OLDEST_MS = 2 * WORK_DAYS * DAY_MS
"""Maximum age of a record of a work topic, milliseconds: see ``WORK_DAYS``."""
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
    guard: Callable[[Callable[[], bool]], bool] = field(default=lambda held: held())
    """Decides ``may_publish``: that of `FreezeGuard` in a service."""

    def may_publish(self) -> bool:
        """Whether this process still owns the partition, asked right before a task is published. After a freeze it
        waits until the group has confirmed that. Any thread."""
        return self.guard(lambda: self.held)


@dataclass(frozen=True, slots=True)
class Completion:
    """A slot has finished a record."""

    record: Record
    assignment: PartitionAssignment
    settled: bool
    """False: the record was not settled and must be delivered again."""


Completions = SimpleQueue[Completion]
"""Queue from the slots to the consumer loop, which commits the settled records."""
