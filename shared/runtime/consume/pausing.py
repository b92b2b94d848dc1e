"""Pauses the partitions of a lane while many of its records wait, and a partition of which many records are settled
ahead of one that is not, so that polling can continue."""

from collections.abc import Callable, Mapping

from confluent_kafka import TopicPartition

from shared.messages.lanes import LANES, Lane, lane_of
from shared.runtime.consume.consumer import Consumer
from shared.runtime.consume.owned_partition import Name, OwnedPartition

RESUME_BELOW = 0.5
"""How full a lane may be when its partitions are resumed; they are paused when it is full."""


class Pausing:
    """The paused partitions. Used by the consumer loop's thread only."""

    def __init__(self, consumer: Consumer, max_ahead: int) -> None:
        """``max_ahead``: from this number of records from the first unsettled one on a partition is paused. All of them
        are delivered again when it moves to another member."""
        self._consumer = consumer
        self._max_ahead = max_ahead
        self._paused: set[Name] = set()
        self._full: set[Lane] = set()
        self._ahead: set[Name] = set()

    def forget(self, partition: Name) -> None:
        """The partition is assigned or released: it is not paused."""
        self._paused.discard(partition)
        self._ahead.discard(partition)

    def update(self, owned: Mapping[Name, OwnedPartition], fill: Callable[[Lane], float], stopped: bool) -> None:
        """Pause the partitions of a lane when it is full or no more records are taken, and one that is far ahead of its
        first unsettled record; resume when half of that is left. Call the client on transitions only. ``fill`` returns
        how full a lane is.

        Pausing discards prefetched records and restarts the fetch session, which costs up to hundreds of milliseconds
        at the next record: a burst of short tasks must not pay that for each. A paused lane keeps nothing in the
        client's queue, in which a record of the other lane would wait.
        """
        limit = {lane: RESUME_BELOW if lane in self._full else 1.0 for lane in LANES}
        self._full = {lane for lane in LANES if stopped or fill(lane) >= limit[lane]}
        self._ahead = {
            name
            for name, one in owned.items()
            if one.ahead >= self._max_ahead * (RESUME_BELOW if name in self._ahead else 1.0)
        }
        pause = self._ahead | {name for name in owned if lane_of(name[0]) in self._full}
        if new := pause - self._paused:
            self._consumer.pause([TopicPartition(*name) for name in new])
        if old := (self._paused & set(owned)) - pause:
            self._consumer.resume([TopicPartition(*name) for name in old])
        self._paused = pause
