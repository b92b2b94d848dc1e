"""What the consumer loop works with: a Kafka consumer, its messages as records, and slots."""

from collections.abc import Callable
from typing import Any, Protocol

import structlog
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, TopicPartition

from shared.runtime.consume.assignment import PartitionAssignment, Record

log = structlog.get_logger()


class Consumer(Protocol):
    """The part of a Kafka consumer that the loop uses; `confluent_kafka.Consumer` implements it."""

    def subscribe(
        self,
        topics: list[str],
        on_assign: "OnPartitions",
        on_revoke: "OnPartitions",
        on_lost: "OnPartitions",
    ) -> None: ...
    def poll(self, timeout: float) -> Any: ...
    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]: ...
    def committed(self, partitions: list[TopicPartition], *, timeout: float) -> list[TopicPartition]: ...
    def get_watermark_offsets(self, partition: TopicPartition, *, timeout: float) -> tuple[int, int]: ...
    def pause(self, partitions: list[TopicPartition]) -> None: ...
    def resume(self, partitions: list[TopicPartition]) -> None: ...
    def incremental_assign(self, partitions: list[TopicPartition]) -> None: ...
    def incremental_unassign(self, partitions: list[TopicPartition]) -> None: ...
    def close(self) -> None: ...


OnPartitions = Callable[[Any, list[TopicPartition]], None]


class Slots(Protocol):
    """Process records; each submitted record comes back as a completion."""

    @property
    def count(self) -> int: ...
    def submit(self, record: Record, assignment: PartitionAssignment) -> None: ...


def record_of(message: Any) -> Record:
    """The message as a record. Headers whose names are not UTF-8 can't be read at all: the record gets no headers."""
    try:
        headers = list(message.headers() or [])
    except SystemError:
        log.warning("headers_unreadable", topic=message.topic(), partition=message.partition(), offset=message.offset())
        headers = []
    coordinates = (message.topic(), message.partition(), message.offset())
    kind, timestamp_ms = message.timestamp()
    producer_time = kind != TIMESTAMP_LOG_APPEND_TIME
    return Record(*coordinates, message.key(), message.value(), headers, timestamp_ms, producer_time)
