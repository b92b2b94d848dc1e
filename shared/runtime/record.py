"""A consumed record as a value, and the right to act on it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

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


@dataclass(slots=True)
class Lease:
    """This process's hold on a partition; revoked when the group gives the partition to another member.

    A task looks at it before it hands on: the new owner does that work too, and one of the two must not.
    Written by the pump, read by slots; a bool needs no lock.
    """

    topic: str
    partition: int
    held: bool = field(default=True)
    wanted: bool = field(default=False)
    """The group is about to give it to another member, who waits for the tasks that run."""
