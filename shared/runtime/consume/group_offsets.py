"""Reads what the group has committed for newly assigned partitions: the offsets and the attempt counts."""

from collections.abc import Mapping, Sequence

import structlog
from confluent_kafka import KafkaException, TopicPartition

from shared.runtime.consume.consumer import Consumer
from shared.runtime.consume.owned_partition import Name, OwnedPartition

READ_TIMEOUT_S = 5.0
"""Timeout of one read, seconds: shorter than the silence after which the consumer loop counts as hung."""

log = structlog.get_logger()


def restore(consumer: Consumer, partitions: Sequence[OwnedPartition], survived: Mapping[Name, frozenset[int]]) -> bool:
    """Read the committed offset and the counts of these partitions; False when the broker did not answer.

    A partition without a committed offset gets its first offset as such. ``survived`` is that of
    ``OwnedPartition.restore``, by partition.
    """
    owned = {partition.name: partition for partition in partitions}
    try:
        for committed in consumer.committed([TopicPartition(*name) for name in owned], timeout=READ_TIMEOUT_S):
            name = committed.topic, committed.partition
            if committed.error is not None:
                raise KafkaException(committed.error)
            if committed.offset < 0:
                start, _ = consumer.get_watermark_offsets(TopicPartition(*name), timeout=READ_TIMEOUT_S)
                owned[name].begin_at(start)
            owned[name].restore(committed, survived.get(name, frozenset()))
    except KafkaException as e:
        log.warning("committed_offsets_unavailable", error=e.args[0].name(), text=e.args[0].str())
    return all(partition.known for partition in partitions)
