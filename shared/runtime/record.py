"""A consumed record as a value, and the right to act on it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.messages.topics import DAY_MS, WORK_DAYS

OLDEST_MS = 2 * WORK_DAYS * DAY_MS
"""No record of a work topic is older: see ``WORK_DAYS``."""
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
    """As it lies on the broker, milliseconds since the epoch."""
    producer_time: bool = False
    """The timestamp is by the producer's clock: the topic is not set to LogAppendTime."""

    def appended_ms(self, now_ms: int) -> int:
        """When the broker took the record, never after ``now_ms``; milliseconds since the epoch.

        A producer's time counts only where it can be true: its clock may be wrong, or count seconds.
        """
        if self.producer_time and not now_ms - OLDEST_MS <= self.timestamp_ms <= now_ms:
            return now_ms
        return min(self.timestamp_ms, now_ms)


@dataclass(slots=True)
class PartitionAssignment:
    """This process's hold on a partition; revoked when the group gives the partition to another member.

    A task looks at it before it hands on: the new owner does that work too, and one of the two must not.
    Written by the consumer loop, read by slots; a bool needs no lock.
    """

    topic: str
    partition: int
    held: bool = field(default=True)
    revoking: bool = field(default=False)
    """The group is about to give it to another member, who waits for the tasks that run."""
