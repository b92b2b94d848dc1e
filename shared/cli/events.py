"""Reading ``render.events``: one job's partition or all of them, from a position, without a consumer group."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from pydantic import ValidationError

from shared.cli.connection import Connection
from shared.cli.errors import Unreachable
from shared.cli.partition import partition_of
from shared.messages.events import EVENT, AnyEvent
from shared.messages.topics import EVENTS

ANSWER_S = 10.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Position:
    """A place in one partition of the events topic."""

    topic: str
    partition: int
    offset: int


def partition_count(consumer: Any, topic: str) -> int:
    """How many partitions the topic has. Raises Unreachable, also when there is no such topic."""
    try:
        known = consumer.list_topics(topic, timeout=ANSWER_S).topics[topic]
    except KafkaException as e:
        raise Unreachable(f"the broker does not answer: {e.args[0].str()}") from None
    if known.error is not None or not known.partitions:
        raise Unreachable(f"the topic {topic} does not exist", "create the topics with `lipstage topics apply`")
    return len(known.partitions)


def span_of(consumer: Any, topic: str, partition: int) -> tuple[int, int]:
    """First and next offset of a partition. Raises Unreachable."""
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ANSWER_S)
    except KafkaException as e:
        raise Unreachable(f"the broker does not answer: {e.args[0].str()}") from None
    return low, high


def positions(connection: Connection, back: int, job_id: str | None = None) -> list[Position]:
    """Where to begin to see the last ``back`` records in all: of the job's partition, or of every one."""
    topic = connection.settings.topic(EVENTS)
    consumer = connection.consumer()
    try:
        count = partition_count(consumer, topic)
        wanted = range(count) if job_id is None else [partition_of(job_id, count)]
        each = -(-back // len(wanted))
        found = []
        for p in wanted:
            low, high = span_of(consumer, topic, p)
            found.append(Position(topic, p, max(low, high - each)))
        return found
    finally:
        consumer.close()


def tail(connection: Connection, job_id: str) -> Position:
    """The end of the job's partition: what is said of the job from now on comes after it."""
    return positions(connection, 0, job_id)[0]


def parse(value: bytes | None) -> AnyEvent | None:
    """An event; None for a record of another version or of nobody we know."""
    try:
        return EVENT.validate_json(value or b"")
    except ValidationError:
        return None


def scan(connection: Connection, starts: list[Position]) -> Iterator[AnyEvent]:
    """Every readable event from the positions to the present end of each partition; then stops."""
    consumer = connection.consumer()
    try:
        open_ends = {p.partition for p in starts}
        consumer.assign([TopicPartition(p.topic, p.partition, p.offset) for p in starts])
        deadline = time.monotonic() + ANSWER_S
        while open_ends:
            message = consumer.poll(POLL_S)
            if message is None:
                if time.monotonic() > deadline:
                    raise Unreachable("the broker stopped answering while events were read")
                continue
            deadline = time.monotonic() + ANSWER_S
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    open_ends.discard(message.partition())
                continue
            event = parse(message.value())
            if event is not None and message.partition() in open_ends:
                yield event
    finally:
        consumer.close()
