"""Reads ``render.events``: all partitions, from given offsets, without a consumer group.

A job's events are found by their key on whatever partition they lie: the partition depends on the topic's size when an
event was sent and on the sender's partitioner, and a client controls neither.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from pydantic import ValidationError

from shared.client.connection import Connection
from shared.client.errors import BrokerUnreachable, TopicMissing
from shared.client.job_key import JobKey
from shared.messages.events import AnyEvent, parse_event
from shared.messages.topics import EVENTS

ANSWER_S = 10.0
POLL_S = 0.1
LEADERLESS = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART}
"""Transient errors of a topic that was just created or has grown, and of a leader that moves."""
Offsets = dict[int, int]
"""The next offset to read, by partition."""


def partitions(consumer: Any, topic: str) -> list[int]:
    """The topic's partitions. Raises BrokerUnreachable, TopicMissing."""
    try:
        metadata = consumer.list_topics(topic, timeout=ANSWER_S).topics[topic]
    except KafkaException as e:
        raise BrokerUnreachable(f"the broker does not answer: {e.args[0].str()}") from None
    if metadata.error is not None or not metadata.partitions:
        raise TopicMissing(f"the topic {topic} does not exist")
    return sorted(metadata.partitions)


def watermarks(consumer: Any, topic: str, partition: int) -> tuple[int, int]:
    """First and next offset of a partition.

    Raises BrokerUnreachable, also when the partition has had no leader for ``ANSWER_S`` seconds.
    """
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ANSWER_S)
            return low, high
        except KafkaException as e:
            if e.args[0].code() not in LEADERLESS or time.monotonic() > deadline:
                raise BrokerUnreachable(f"the broker does not answer: {e.args[0].str()}") from None
            time.sleep(POLL_S)


def end(connection: Connection) -> Offsets:
    """The present end of each partition: later events come after it. Raises BrokerUnreachable, TopicMissing."""
    return newest(connection, 0)


def newest(connection: Connection, count: int) -> Offsets:
    """Where to start to read at most ``count`` of the newest records. Raises BrokerUnreachable, TopicMissing."""
    topic = connection.topic(EVENTS)
    consumer = connection.consumer()
    try:
        ranges = {p: watermarks(consumer, topic, p) for p in partitions(consumer, topic)}
    finally:
        consumer.close()
    parts = shares([high - low for low, high in ranges.values()], count)
    return {p: high - part for (p, (_, high)), part in zip(ranges.items(), parts, strict=True)}


def shares(sizes: Sequence[int], budget: int) -> list[int]:
    """How many records of each partition to read: equal shares; what small partitions leave over goes to large ones."""
    parts = [0] * len(sizes)
    smallest_first = sorted(range(len(sizes)), key=lambda index: sizes[index])
    for number, index in enumerate(smallest_first):
        parts[index] = min(sizes[index], budget // (len(sizes) - number))
        budget -= parts[index]
    return parts


def parse(value: bytes | None) -> AnyEvent | None:
    """An event; None for a record that is not one, or one of an unknown version."""
    try:
        return parse_event(value)
    except ValidationError:
        return None


def event_of(job: JobKey, key: bytes | None, value: bytes | None) -> AnyEvent | None:
    """A record's event if it belongs to the job. The key rules most other records out before anything is parsed."""
    if key != job.job_id.encode():
        return None
    event = parse(value)
    return event if event is not None and (event.tenant, event.job_id) == job else None


def scan(connection: Connection, offsets: Offsets, job_id: str | None = None) -> Iterator[AnyEvent]:
    """Every readable event, or those under one job id, from ``offsets`` to the present end of each partition.

    ``offsets`` is advanced: reading can continue where this stops. Raises BrokerUnreachable.
    """
    topic, key = connection.topic(EVENTS), job_id.encode() if job_id is not None else None
    consumer = connection.consumer()
    try:
        unfinished = set(offsets)
        consumer.assign([TopicPartition(topic, p, offset) for p, offset in offsets.items()])
        deadline = time.monotonic() + ANSWER_S
        while unfinished:
            message = consumer.poll(POLL_S)
            if message is None:
                if time.monotonic() > deadline:
                    raise BrokerUnreachable("the broker stopped answering while events were read")
                continue
            deadline = time.monotonic() + ANSWER_S
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    unfinished.discard(message.partition())
                continue
            if message.partition() not in unfinished:
                continue
            offsets[message.partition()] = message.offset() + 1
            event = parse(message.value()) if key is None or message.key() == key else None
            if event is not None and job_id in (None, event.job_id):
                yield event
    finally:
        consumer.close()
