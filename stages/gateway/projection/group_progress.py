"""What the group has committed of its topics, as the broker tells it: the lag, and whether it still shrinks."""

import time
from collections.abc import Callable, Collection
from typing import Any

from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition

from shared.client.errors import ClientError
from shared.client.topic_log import partitions
from shared.messages.tenant_topics import without_tenant
from shared.runtime.consume.oldest_records import READER
from shared.runtime.kafka_config import UNLOGGED, reader_config
from shared.runtime.settings import RuntimeSettings
from shared.telemetry import metrics
from shared.telemetry.clients import raw_consumer

ANSWER_S = 5.0
READ_S = 2.0
"""Time to look for records behind committed offsets, seconds."""
POLL_S = 0.1
Place = tuple[str, int]
"""Topic and partition."""


class GroupProgress:
    """Committed offsets and ends of the partitions. For one thread; it joins no group."""

    def __init__(self, settings: RuntimeSettings, group: str, topics: Collection[str]) -> None:
        self._topics = tuple(topics)
        self._consumer: Any = raw_consumer(
            {**reader_config(settings, "projection-progress", group), **READER, **UNLOGGED}
        )
        self._before: dict[Place, int] = {}
        """What was committed at the last look."""
        self._empty: dict[Place, tuple[int, int]] = {}
        """Between which offsets there is no record to read."""

    def read(self) -> tuple[dict[Place, int], dict[Place, int]] | None:
        """The next offset to read and the end of each partition, without open transactions; None when the broker does
        not answer, or a topic is missing."""
        try:
            places = [(topic, number) for topic in self._topics for number in partitions(self._consumer, topic)]
            asked = [TopicPartition(topic, number) for topic, number in places]
            committed = self._consumer.committed(asked, timeout=ANSWER_S)
            next_offsets, ends = {}, {}
            for place, one in zip(places, committed, strict=True):
                low, high = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=ANSWER_S)
                offset = low if one.offset == OFFSET_INVALID else max(low, one.offset)
                next_offsets[place], ends[place] = offset, high
            self._pass_over(next_offsets, ends)
        except (KafkaException, ClientError):
            return None
        lags: dict[tuple[str, str], int] = {}
        for (topic, number), end in ends.items():
            name = without_tenant(topic), str(number)
            lags[name] = lags.get(name, 0) + max(0, end - next_offsets[topic, number])
        for name, lag in lags.items():
            metrics.PROJECTION_LAG.labels(*name).set(lag)
        return next_offsets, ends

    def _pass_over(self, committed: dict[Place, int], ends: dict[Place, int]) -> None:
        """Advance offsets to the next record: faust commits the offset after a record, where the markers and aborted
        records of transactions may follow, for ever if they are the last.

        Reads only where nothing was committed since the last look: else each would fetch what faust is about to read.
        """
        before, self._before = self._before, dict(committed)
        for place, (start, end) in self._empty.items():
            if start <= committed.get(place, -1) < end:
                committed[place] = min(end, ends[place])
        standing = {
            place: offset
            for place, offset in committed.items()
            if offset < ends[place] and before.get(place) == self._before[place]
        }
        for place, offset in (self._next_records(standing) if standing else {}).items():
            self._empty[place] = self._before[place], offset
            committed[place] = min(offset, ends[place])

    def _next_records(self, offsets: dict[Place, int]) -> dict[Place, int]:
        """Where the first record lies from each offset on, or the partition ends; partitions that do not answer in time
        are left out."""
        found: dict[Place, int] = {}
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in offsets.items()])
        until = time.monotonic() + READ_S
        try:
            while len(found) < len(offsets) and time.monotonic() < until:
                message = self._consumer.poll(POLL_S)
                if message is not None and (
                    message.error() is None or message.error().code() == KafkaError._PARTITION_EOF
                ):
                    found.setdefault((message.topic(), message.partition()), message.offset())
        finally:
            self._consumer.unassign()
        return found

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()


class StallDetector:
    """Notices that records wait and none is committed, or that the group takes this process for no member."""

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._committed: dict[Place, int] | None = None
        self._since = clock()

    def reset(self) -> None:
        """Start to count anew: the broker was away, or the states are being read."""
        self._committed = None

    def stalled(self, committed: dict[Place, int], ends: dict[Place, int], joined: bool = True) -> str | None:
        """The reason to restart; None while offsets advance, or nothing waits and the group is ``joined``."""
        waiting = sum(max(0, end - committed[place]) for place, end in ends.items())
        now = self._clock()
        if (not waiting and joined) or committed != self._committed:
            self._committed, self._since = committed, now
            return None
        silent = now - self._since
        if silent >= self._limit_s and not joined:
            return f"the consumer group has not been joined for {silent:.0f} s"
        return f"{waiting} records wait, and none was committed for {silent:.0f} s" if silent >= self._limit_s else None
