"""The records between the client and the slots: which waits, which starts next, which runs."""

import time
from collections.abc import Callable, Collection
from dataclasses import replace

from shared.messages.lanes import Lane
from shared.runtime.consume.assignment import Completion, Record
from shared.runtime.consume.consumer import Slots
from shared.runtime.consume.delivery import Delivery
from shared.runtime.consume.lane_queues import LaneQueues
from shared.runtime.consume.owned_partition import OwnedPartition
from shared.runtime.consume.share import share_of

REPEAT_AFTER_S = 1.0
"""Pause before an unsettled record runs again: a service that ends needs a moment to say so, and a record that comes
back at once must not occupy the processor."""
READ_AHEAD = 2000
"""How many records of each lane wait here by default."""


class Dispatcher:
    """Chooses records by lane, tenant and deadline. Used by the consumer loop's thread only.

    A record passes three steps: ``add`` (it waits), ``choose`` (its count goes into the next commit), ``submit`` (a
    slot has it). At most ``slots.count`` records are chosen or run.

    A record on which as many processes died as the limit allows but one runs alone. Otherwise a record that kills the
    whole service would condemn its innocent neighbours with it.
    """

    def __init__(
        self,
        slots: Slots,
        max_crashes: int,
        may_start: Callable[[int], bool],
        read_ahead: int = READ_AHEAD,
        served: Callable[[Record], str | None] | None = None,
    ) -> None:
        """``may_start`` is asked with the number of chosen and running records, once before each one is chosen.
        ``read_ahead``: how many records of each lane should wait here. ``served``: the tenant of a record, as of
        `share.share_of`.
        """
        self._slots = slots
        self._may_start = may_start
        self._served = served
        # With a limit of one crash every record would run alone; then neighbours take their chances.
        self._suspect_at = max(1, max_crashes - 1)
        self._delivered = 0
        self._waiting = LaneQueues(read_ahead)
        self._chosen: list[Delivery] = []
        self._running: dict[int, Delivery] = {}
        self._alone = False
        """A record that is chosen or runs must stay alone."""
        self.stopped = False
        """No record is chosen any more."""

    @property
    def waiting(self) -> int:
        """Number of records that wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Number of records in slots."""
        return len(self._running)

    @property
    def full(self) -> bool:
        """Whether every slot has a record."""
        return len(self._running) >= self._slots.count

    @property
    def chosen(self) -> bool:
        """Whether records wait for a commit to be submitted."""
        return bool(self._chosen)

    def fill(self, lane: Lane) -> float:
        """How many of the records that may wait in the lane do; 1.0: no more should be fetched."""
        return self._waiting.fill(lane)

    @property
    def _busy(self) -> int:
        return len(self._chosen) + len(self._running)

    def add(self, record: Record, partition: OwnedPartition) -> None:
        """Let a delivered record wait."""
        self._delivered += 1
        self._waiting.add(Delivery(self._delivered, record, partition, share_of(record, self._served)))

    def choose(self) -> None:
        """Choose the records that may start now."""
        now = time.monotonic()
        while not (self.stopped or self._alone or self._busy >= self._slots.count):
            delivery = self._waiting.next(lambda one: one.may_start(now))
            if delivery is None:
                return
            suspect = delivery.partition.crashes(delivery.record.offset) >= self._suspect_at
            # A suspect stops those behind it, or it would never find the service empty.
            if (suspect and self._busy) or not self._may_start(self._busy):
                return
            self._alone = suspect
            self._waiting.take(delivery)
            self._chosen.append(delivery)
            delivery.partition.start(delivery.record.offset)

    def submit(self) -> None:
        """Submit the chosen records, whose counts are committed."""
        chosen, self._chosen = self._chosen, []
        for delivery in chosen:
            offset = delivery.record.offset
            delivery.record = replace(delivery.record, crashes=delivery.partition.crashes(offset))
            delivery.started = time.monotonic()
            self._running[id(delivery.record)] = delivery
            self._slots.submit(delivery.record, delivery.partition.assignment)

    def complete(self, completion: Completion) -> Delivery:
        """Free the slot of a completed record."""
        delivery = self._running.pop(id(completion.record))
        self._alone = self._alone and bool(self._busy)
        return delivery

    def put_back(self, delivery: Delivery) -> None:
        """Let an unsettled record wait again, at its place."""
        delivery.not_before = time.monotonic() + REPEAT_AFTER_S
        delivery.partition.pause(delivery.record.offset)
        self._waiting.add(delivery)

    def drop(self, partitions: Collection[OwnedPartition]) -> None:
        """Give up the records of these partitions that have not been submitted."""
        chosen = [d for d in self._chosen if d.partition in partitions]
        for delivery in self._waiting.drop(partitions) + chosen:
            delivery.partition.drop(delivery.record.offset)
        self._chosen = [d for d in self._chosen if d.partition not in partitions]
        self._alone = self._alone and bool(self._busy)

    def interrupt(self, partitions: Collection[OwnedPartition], limit_s: float) -> None:
        """Take back the counts of records that still run: what interrupts them is not their fault.

        One that has been in its slot for more than ``limit_s`` seconds hangs: it keeps its count.
        """
        now = time.monotonic()
        for delivery in self._running.values():
            if delivery.partition in partitions and now - delivery.started <= limit_s:
                delivery.partition.release(delivery.record.offset)
