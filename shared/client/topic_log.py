"""Reads a topic without a consumer group: a bounded number of its newest records, from all partitions."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from shared.client.connection import Connection
from shared.client.errors import BrokerUnreachable, TopicMissing
from shared.messages.tenant_topics import tenants_among

ANSWER_S = 10.0
POLL_S = 0.1
LEADERLESS = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART}
"""Transient errors of a topic that was just created or has grown, and of a leader that moves."""
Offsets = dict[int, int]
"""The next offset to read, by partition."""


@dataclass(frozen=True, slots=True)
class Window:
    """The newest records of a topic."""

    offsets: Offsets
    """Where it begins."""
    cut_partitions: frozenset[int]
    """Those with older records, which the window leaves out."""
    has_deleted: bool
    """Whether retention has deleted records of the topic."""

    @property
    def cut(self) -> bool:
        """Whether the topic has older records, which the window leaves out."""
        return bool(self.cut_partitions)


def partitions(consumer: Any, topic: str) -> list[int]:
    """The topic's partitions. Raises BrokerUnreachable, TopicMissing."""
    try:
        metadata = consumer.list_topics(topic, timeout=ANSWER_S).topics[topic]
    except KafkaException as e:
        raise BrokerUnreachable(f"the broker does not answer: {e.args[0].str()}") from None
    if metadata.error is not None or not metadata.partitions:
        raise TopicMissing(f"the topic {topic} does not exist")
    return sorted(metadata.partitions)


def tenants(connection: Connection) -> list[str]:
    """The tenants of whose own topics this client sees any. Raises BrokerUnreachable."""
    consumer = connection.consumer()
    try:
        names = consumer.list_topics(timeout=ANSWER_S).topics
    except KafkaException as e:
        raise BrokerUnreachable(f"the broker does not answer: {e.args[0].str()}") from None
    finally:
        consumer.close()
    prefix = connection.settings.topic_prefix
    return tenants_among(name.removeprefix(prefix) for name in names if name.startswith(prefix))


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


def newest(connection: Connection, topic: str, count: int) -> Window:
    """At most ``count`` of the newest records of a topic, by its full name. Raises BrokerUnreachable, TopicMissing."""
    with connection.reader() as consumer:
        ranges = {p: watermarks(consumer, topic, p) for p in partitions(consumer, topic)}
    parts = shares([high - low for low, high in ranges.values()], count)
    offsets = {p: high - part for (p, (_, high)), part in zip(ranges.items(), parts, strict=True)}
    cut = frozenset(p for p, (low, _) in ranges.items() if offsets[p] > low)
    return Window(offsets, cut, any(low > 0 for low, _ in ranges.values()))


def shares(sizes: Sequence[int], budget: int) -> list[int]:
    """How many records of each partition to read: equal shares; what small partitions leave over goes to large ones."""
    parts = [0] * len(sizes)
    smallest_first = sorted(range(len(sizes)), key=lambda index: sizes[index])
    for number, index in enumerate(smallest_first):
        parts[index] = min(sizes[index], budget // (len(sizes) - number))
        budget -= parts[index]
    return parts


def value_of(message: Message) -> bytes | None:
    """The value of a record, as bytes."""
    value = message.value()
    return value.encode() if isinstance(value, str) else value


def key_of(message: Message) -> bytes | None:
    """The key of a record, as bytes."""
    key = message.key()
    return key.encode() if isinstance(key, str) else key


def records(connection: Connection, topic: str, offsets: Offsets) -> Iterator[Message]:
    """Every record from ``offsets`` to the present end of each partition.

    ``offsets`` is advanced: reading can continue where this stops. Raises BrokerUnreachable.
    """
    with connection.reader() as consumer:
        ends = {p: watermarks(consumer, topic, p)[1] for p in offsets}
        # One behind the end is of a topic that was made anew: it is read from its beginning.
        unfinished = {p for p, offset in offsets.items() if offset != ends[p]}
        consumer.assign([TopicPartition(topic, p, offsets[p]) for p in unfinished])
        deadline = time.monotonic() + ANSWER_S
        while unfinished:
            message = consumer.poll(POLL_S)
            if message is None:
                if time.monotonic() > deadline:
                    raise BrokerUnreachable(f"the broker stopped answering while {topic} was read")
                continue
            deadline = time.monotonic() + ANSWER_S
            partition, error = message.partition(), message.error()
            if error is not None:
                # Its last offsets hold no record, or none that is committed.
                if error.code() == KafkaError._PARTITION_EOF:
                    unfinished.discard(partition)
                continue
            if partition in unfinished:
                offsets[partition] = message.offset() + 1
                # Its end is known: the broker would hold a fetch there for as long as it may.
                if offsets[partition] >= ends[partition]:
                    unfinished.discard(partition)
                yield message
