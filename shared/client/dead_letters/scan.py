"""Reads a topic by offsets in batches: no group, no commit, a bounded amount of memory."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from shared.client import topic_log
from shared.client.connection import Connection
from shared.client.dead_letters.dead_letter import DeadLetter
from shared.client.errors import BrokerUnreachable, DeadLetterNotFound
from shared.client.topic_log import ANSWER_S, POLL_S
from shared.messages.topics import DLQ

BATCH = 500
"""Records per call of the Kafka client."""
PREFETCH: dict[str, Any] = {"queued.max.messages.kbytes": 8192, "queued.min.messages": 5000}
"""librdkafka's default prefetches 64 MB."""
Ranges = dict[int, tuple[int, int]]
"""First and next offset, by partition."""


def ranges(connection: Connection, topic: str, since_ms: int = 0) -> Ranges:
    """What a topic (its full name) holds now, from records of ``since_ms`` (milliseconds since the epoch) on.

    Raises BrokerUnreachable, TopicMissing.
    """
    consumer = connection.consumer()
    try:
        found = {p: topic_log.watermarks(consumer, topic, p) for p in topic_log.partitions(consumer, topic)}
        if since_ms > 0:
            for place in _at_time(consumer, topic, found, since_ms):
                low, high = found[place.partition]
                # No record is that new: the answer is the end of the partition, or a negative number.
                found[place.partition] = (max(low, place.offset) if place.offset >= 0 else high, high)
        return found
    finally:
        consumer.close()


def _at_time(consumer: Any, topic: str, found: Ranges, since_ms: int) -> list[TopicPartition]:
    try:
        answer: list[TopicPartition] = consumer.offsets_for_times(
            [TopicPartition(topic, p, since_ms) for p in found], timeout=ANSWER_S
        )
    except KafkaException as e:
        raise BrokerUnreachable(f"the broker does not answer: {e.args[0].str()}") from None
    return answer


def records(connection: Connection, topic: str, parts: Mapping[int, tuple[int, int]]) -> Iterator[Any]:
    """Every record of the ranges, each partition in its order. Raises BrokerUnreachable."""
    left = {p: end for p, (start, end) in parts.items() if start < end}
    if not left:
        return
    consumer = connection.consumer(PREFETCH)
    try:
        consumer.assign([TopicPartition(topic, p, parts[p][0]) for p in left])
        silent_since = time.monotonic()
        while left:
            batch = consumer.consume(BATCH, POLL_S)
            if not batch and time.monotonic() - silent_since > ANSWER_S:
                raise BrokerUnreachable(f"the broker stopped answering while {topic} was read")
            for message in batch:
                partition = message.partition()
                if (error := message.error()) is not None:
                    # Compaction and transaction markers leave gaps: the end may come before the last offset.
                    if error.code() == KafkaError._PARTITION_EOF:
                        left.pop(partition, None)
                    continue
                if partition not in left:
                    continue
                if message.offset() < left[partition]:
                    yield message
                if message.offset() + 1 >= left[partition]:
                    del left[partition]
            if batch:  # The reader may have taken its time with each record: only waiting counts.
                silent_since = time.monotonic()
    finally:
        consumer.close()


def headers_of(message: Any) -> list[tuple[str, bytes | None]]:
    """The headers of a record; empty where their names are not UTF-8: the Kafka client can't read those."""
    try:
        found: list[tuple[str, bytes | None]] = message.headers() or []
    except SystemError:
        return []
    return found


def dead_letters(connection: Connection, parts: Mapping[int, tuple[int, int]]) -> Iterator[DeadLetter]:
    """Every dead letter of the ranges. Raises BrokerUnreachable."""
    for message in records(connection, connection.topic(DLQ), parts):
        yield of_message(message)


def of_message(message: Any) -> DeadLetter:
    """The dead letter of a Kafka message."""
    return DeadLetter(
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        topic_log.key_of(message),
        topic_log.value_of(message),
        headers_of(message),
    )


def by_ids(connection: Connection, ids: list[tuple[int, int]]) -> Iterator[DeadLetter]:
    """The dead letters of these ids, each once, one read for each.

    Raises DeadLetterNotFound for an id that does not exist, before any is read; BrokerUnreachable, TopicMissing.
    """
    existing = ranges(connection, connection.topic(DLQ))
    wanted = list(dict.fromkeys(ids))
    for partition, offset in wanted:
        low, high = existing.get(partition, (0, 0))
        if not low <= offset < high:
            raise _not_found(partition, offset)
    for partition, offset in wanted:
        found = next(dead_letters(connection, {partition: (offset, offset + 1)}), None)
        if found is None:
            raise _not_found(partition, offset)
        yield found


def _not_found(partition: int, offset: int) -> DeadLetterNotFound:
    return DeadLetterNotFound(
        f"no dead letter {partition}:{offset} exists", "`lipstage dlq ls` lists them; the topic keeps 30 days"
    )
