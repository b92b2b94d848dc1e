"""Reading ``render.events``: all partitions, from given offsets, without a consumer group.

A job's events are found by its key wherever they lie: which partition that is depends on the topic's size when they
were sent and on the sender's partitioner, and neither is ours to know.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from pydantic import ValidationError

from shared.cli.connection import Connection
from shared.cli.errors import Unreachable
from shared.messages.events import EVENT, AnyEvent
from shared.messages.names import DEFAULT_TENANT
from shared.messages.topics import EVENTS

ANSWER_S = 10.0
POLL_S = 0.1
LEADERLESS = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART}
"""What brokers answer for a moment when a topic was just made, or has grown, or a leader moves."""
Offsets = dict[int, int]
"""The next offset to read by partition."""


class Job(NamedTuple):
    """A job's whole name: two tenants may choose the same id."""

    tenant: str
    job_id: str

    @property
    def arguments(self) -> str:
        """As a command takes it, for hints."""
        return self.job_id if self.tenant == DEFAULT_TENANT else f"{self.job_id} --tenant {self.tenant}"

    def event(self, key: bytes | None, value: bytes | None) -> AnyEvent | None:
        """A record's event when it is of this job. The key tells most of the others apart before anything is parsed."""
        if key != self.job_id.encode():
            return None
        event = parse(value)
        return event if event is not None and (event.tenant, event.job_id) == self else None


def partitions_of(consumer: Any, topic: str) -> list[int]:
    """The topic's partitions. Raises Unreachable, also when there is no such topic."""
    try:
        known = consumer.list_topics(topic, timeout=ANSWER_S).topics[topic]
    except KafkaException as e:
        raise Unreachable(f"the broker does not answer: {e.args[0].str()}") from None
    if known.error is not None or not known.partitions:
        raise Unreachable(f"the topic {topic} does not exist", "create the topics with `lipstage topics apply`")
    return sorted(known.partitions)


def span_of(consumer: Any, topic: str, partition: int) -> tuple[int, int]:
    """First and next offset of a partition. Raises Unreachable, also when it has no leader for ``ANSWER_S`` seconds."""
    deadline = time.monotonic() + ANSWER_S
    while True:
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ANSWER_S)
            return low, high
        except KafkaException as e:
            if e.args[0].code() not in LEADERLESS or time.monotonic() > deadline:
                raise Unreachable(f"the broker does not answer: {e.args[0].str()}") from None
            time.sleep(POLL_S)


def offsets(connection: Connection, back: int) -> Offsets:
    """Where to begin to see at most ``back`` of the newest records. Raises Unreachable."""
    topic = connection.settings.topic(EVENTS)
    consumer = connection.consumer()
    try:
        spans = {p: span_of(consumer, topic, p) for p in partitions_of(consumer, topic)}
    finally:
        consumer.close()
    parts = shares([high - low for low, high in spans.values()], back)
    return {p: high - part for (p, (_, high)), part in zip(spans.items(), parts, strict=True)}


def shares(sizes: Sequence[int], budget: int) -> list[int]:
    """How much of each is read: alike, and what the small ones leave over goes to the large ones."""
    parts = [0] * len(sizes)
    smallest_first = sorted(range(len(sizes)), key=lambda at: sizes[at])
    for number, at in enumerate(smallest_first):
        parts[at] = min(sizes[at], budget // (len(sizes) - number))
        budget -= parts[at]
    return parts


def tail(connection: Connection) -> Offsets:
    """The present ends: what is said from now on comes after them. Raises Unreachable."""
    return offsets(connection, 0)


def parse(value: bytes | None) -> AnyEvent | None:
    """An event; None for a record of another version or of nobody we know."""
    try:
        return EVENT.validate_json(value or b"")
    except ValidationError:
        return None


def scan(connection: Connection, at: Offsets, job_id: str | None = None) -> Iterator[AnyEvent]:
    """Every readable event, or those under one job id, from the offsets to the present end of each partition.

    ``at`` is moved along: where this stops somebody else can go on. Raises Unreachable.
    """
    topic, key = connection.settings.topic(EVENTS), job_id.encode() if job_id is not None else None
    consumer = connection.consumer()
    try:
        open_ends = set(at)
        consumer.assign([TopicPartition(topic, p, offset) for p, offset in at.items()])
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
            if message.partition() not in open_ends:
                continue
            at[message.partition()] = message.offset() + 1
            event = parse(message.value()) if key is None or message.key() == key else None
            if event is not None and job_id in (None, event.job_id):
                yield event
    finally:
        consumer.close()
