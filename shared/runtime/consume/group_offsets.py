"""What the group has committed for newly assigned partitions: the offsets and the attempt counts."""

import math
import time
from collections.abc import Iterable, Mapping

import structlog
from confluent_kafka import KafkaException, TopicPartition

from shared.runtime.consume.consumer import Consumer
from shared.runtime.consume.owned_partition import Name, OwnedPartition

READ_TIMEOUT_S = 5.0
"""Timeout of one read, seconds: shorter than the silence after which the consumer loop counts as hung."""
RETRY_S = 1.0

log = structlog.get_logger()


class GroupOffsets:
    """Reads the committed offsets and restores the counts. Used by the consumer loop's thread only."""

    def __init__(self, consumer: Consumer, owned: Mapping[Name, OwnedPartition]) -> None:
        self._consumer = consumer
        self._owned = owned
        self._survived: dict[Name, frozenset[int]] = {}
        self._read_at = math.inf

    def lost(self, partitions: Iterable[OwnedPartition]) -> None:
        """Remember the records that run for these partitions, whose counts can't be taken back at the broker.

        When one of the partitions comes back, this process knows that they did not kill it.
        """
        self._survived |= {owned.name: owned.running for owned in partitions if owned.running}

    def released(self, partitions: Iterable[OwnedPartition]) -> None:
        """The counts of these partitions were taken back at the broker after all."""
        for owned in partitions:
            self._survived.pop(owned.name, None)

    def read(self) -> None:
        """Read for all partitions whose counts are not known; records of the others wait.

        A partition without a committed offset gets its first offset as such. When the broker does not answer,
        ``read_due`` reads again.
        """
        new = [owned for owned in self._owned.values() if not owned.known]
        self._read_at = math.inf
        if not new:
            return
        try:
            for committed in self._consumer.committed([TopicPartition(*o.name) for o in new], timeout=READ_TIMEOUT_S):
                self._restore(committed)
        except KafkaException as e:
            log.warning("committed_offsets_unavailable", error=e.args[0].name(), text=e.args[0].str())
        if not all(owned.known for owned in new):
            self._read_at = time.monotonic() + RETRY_S

    def read_due(self) -> bool:
        """Read again after a failure, a moment later; returns whether it did."""
        if time.monotonic() < self._read_at:
            return False
        self.read()
        return True

    def _restore(self, committed: TopicPartition) -> None:
        name = committed.topic, committed.partition
        if committed.error is not None:
            raise KafkaException(committed.error)
        if committed.offset < 0:
            start, _ = self._consumer.get_watermark_offsets(TopicPartition(*name), timeout=READ_TIMEOUT_S)
            self._owned[name].begin_at(start)
        self._owned[name].restore(committed, self._survived.pop(name, frozenset()))
