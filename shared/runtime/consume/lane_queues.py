"""The records of both lanes that wait in this process, and which lane starts the next one."""

from collections.abc import Callable, Collection

from shared.messages.lanes import BULK, INTERACTIVE, LANES, Lane, lane_of
from shared.runtime.consume.delivery import Delivery
from shared.runtime.consume.fair_queue import FairQueue
from shared.runtime.consume.owned_partition import OwnedPartition

BULK_EVERY = 5
"""While records of both lanes wait, at least one start in this many is a bulk one: a long interactive queue slows bulk
jobs down, and never stops them."""
MAX_BYTES = 16 << 20
"""Records that wait in one lane, bytes; a request is at most 64 KiB, and a hostile one as large as the topic takes."""


class LaneQueues:
    """Interactive records first. Used by the consumer loop's thread only."""

    def __init__(self, read_ahead: int) -> None:
        """``read_ahead``: how many records of each lane may wait here."""
        self._read_ahead = read_ahead
        self._lanes = {lane: FairQueue() for lane in LANES}
        self._passed = 0
        """Interactive starts since the last bulk one that a bulk record has waited for."""

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._lanes.values())

    def fill(self, lane: Lane) -> float:
        """How full the lane is; from 1.0 on nothing more is fetched."""
        queue = self._lanes[lane]
        return max(len(queue) / self._read_ahead, queue.bytes / MAX_BYTES)

    def add(self, delivery: Delivery) -> None:
        """Let a record wait, in the lane of its topic."""
        self._of(delivery).add(delivery)

    def next(self, may_start: Callable[[Delivery], bool]) -> Delivery | None:
        """The record that starts next, which ``take`` removes; None when none may start."""
        first = self._lanes[INTERACTIVE].next(may_start)
        if first is not None and self._passed < BULK_EVERY - 1:
            return first
        return self._lanes[BULK].next(may_start) or first

    def take(self, delivery: Delivery) -> None:
        """Remove a record that starts."""
        self._of(delivery).take(delivery)
        if lane_of(delivery.record.topic) == BULK:
            self._passed = 0
        elif len(self._lanes[BULK]):
            self._passed += 1

    def drop(self, partitions: Collection[OwnedPartition]) -> list[Delivery]:
        """Remove the records of these partitions, and return them."""
        return [delivery for queue in self._lanes.values() for delivery in queue.drop(partitions)]

    def _of(self, delivery: Delivery) -> FairQueue:
        return self._lanes[lane_of(delivery.record.topic)]
