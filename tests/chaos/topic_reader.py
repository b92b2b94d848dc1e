"""Reads topics from their beginning, without a group and with a new client each time: a killed broker stalls none."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from tests.chaos.history import Rec

ANSWER_S = 5.0
RETRY_TIMEOUT_S = 60.0
"""How long a broker may be away."""


class TopicReader:
    """Remembers how far each partition has been read; ``new`` returns what came since."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._bootstrap, self._prefix = bootstrap, prefix
        self._next: dict[tuple[str, int], int] = {}

    def new(self, topics: Iterable[str]) -> list[Rec]:
        """The records that were added to these topics (without the prefix) since the last call, up to now.

        Raises KafkaException when the broker does not answer for ``RETRY_TIMEOUT_S`` seconds.
        """
        until = time.monotonic() + RETRY_TIMEOUT_S
        names = list(topics)
        while True:
            consumer = Consumer({"bootstrap.servers": self._bootstrap, "group.id": "chaos-reader", "log_level": 0,
                                 "enable.auto.commit": False, "enable.partition.eof": True,
                                 "fetch.wait.max.ms": 10})  # fmt: skip
            try:
                return self._read(consumer, names)
            except KafkaException:
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)
            finally:
                consumer.close()

    def ends(self, consumer: Any, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """The next offset of every partition of the topics that exist."""
        metadata = consumer.list_topics(timeout=ANSWER_S).topics
        return {
            (topic, number): consumer.get_watermark_offsets(TopicPartition(self._prefix + topic, number), ANSWER_S)[1]
            for topic in topics
            if self._prefix + topic in metadata
            for number in metadata[self._prefix + topic].partitions
        }

    def _read(self, consumer: Any, topics: list[str]) -> list[Rec]:
        ends = self.ends(consumer, topics)
        open_ = {place: end for place, end in ends.items() if self._next.get(place, 0) < end}
        if not open_:
            return []
        consumer.assign([TopicPartition(self._prefix + t, n, self._next.get((t, n), 0)) for t, n in open_])
        found, reached = [], dict(self._next)
        until = time.monotonic() + ANSWER_S + len(open_)
        while any(reached.get(place, 0) < end for place, end in open_.items()):
            message = consumer.poll(0.5)
            if message is None:
                if time.monotonic() > until:
                    raise KafkaException(f"records of {topics} can't be read")
                continue
            if message.error() is not None:
                if (offset := message.offset()) >= 0:  # The end of a partition: past compacted records.
                    place = message.topic().removeprefix(self._prefix), message.partition()
                    reached[place] = max(reached.get(place, 0), offset)
                continue
            record = _record(message, self._prefix)
            place = record.topic, record.partition
            reached[place] = max(reached.get(place, 0), record.offset + 1)
            found.append(record)
        self._next = reached
        return found


def committed(bootstrap: str, prefix: str, groups: dict[str, list[tuple[str, int]]]) -> Iterator[tuple[Any, int]]:
    """The committed offsets: (group, topic, partition) without the prefix, and the offset."""
    for group, places in groups.items():
        consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": prefix + group, "log_level": 0})
        try:
            asked = [TopicPartition(prefix + topic, number) for topic, number in places]
            for answer in consumer.committed(asked, timeout=ANSWER_S * 2):
                if answer.offset >= 0:
                    yield (group, answer.topic.removeprefix(prefix), answer.partition), answer.offset
        finally:
            consumer.close()


def _record(message: Message, prefix: str) -> Rec:
    topic, number, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert number is not None
    assert offset is not None
    headers = tuple((name, value) for name, value in message.headers() or ())
    made = Rec(topic.removeprefix(prefix), number, offset, message.timestamp()[1], message.key(), message.value())
    return replace(made, headers=headers)  # type: ignore[arg-type]
