"""A delivered record on its way through this process."""

from dataclasses import dataclass

from shared.runtime.consume.assignment import Record
from shared.runtime.consume.owned_partition import OwnedPartition
from shared.runtime.consume.share import Share


@dataclass(slots=True, eq=False)
class Delivery:
    """One delivered record, from its arrival until a slot has finished it."""

    number: int
    """Order of the deliveries."""
    record: Record
    partition: OwnedPartition
    share: Share
    not_before: float = 0.0
    """Earliest start, monotonic seconds."""
    started: float = 0.0
    """Start in a slot, monotonic seconds."""

    @property
    def bytes(self) -> int:
        """Bytes of key, value and headers."""
        record = self.record
        parts = (record.key, record.value, *(part for name, value in record.headers for part in (name, value)))
        return sum(len(part) for part in parts if part)

    def may_start(self, now: float) -> bool:
        """Whether nothing holds it back: the attempt counts of its partition are known, and its pause is over."""
        return self.partition.known and self.not_before <= now
