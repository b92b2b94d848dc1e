"""Pauses partitions while many records are buffered, so that polling can continue."""

from collections.abc import Collection

from confluent_kafka import TopicPartition

from shared.runtime.consume.consumer import Consumer
from shared.runtime.consume.owned_partition import Name

PAUSE_AT = 32
RESUME_AT = 4
"""Partitions are paused at ``PAUSE_AT`` buffered records and resumed below ``RESUME_AT``."""


class Pausing:
    """The paused partitions. Used by the consumer loop's thread only."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._paused: set[Name] = set()

    def forget(self, partition: Name) -> None:
        """The partition is assigned or released: it is not paused."""
        self._paused.discard(partition)

    def update(self, owned: Collection[Name], buffered: int, stopped: bool) -> None:
        """Pause when enough records are buffered or no more are taken, resume when few are; call the client on
        transitions only.

        Pausing discards prefetched records and restarts the fetch session, which costs up to hundreds of milliseconds
        at the next record: a burst of short tasks must not pay that for each. Buffered records are small, and a
        revocation drops them.
        """
        limit = RESUME_AT if self._paused else PAUSE_AT
        full = buffered >= limit or stopped
        change = set(owned) - self._paused if full else set(owned) & self._paused
        if not change:
            return
        partitions = [TopicPartition(*p) for p in change]
        if full:
            self._consumer.pause(partitions)
            self._paused |= change
        else:
            self._consumer.resume(partitions)
            self._paused -= change
