"""Reads the notices of stored chunks: all of them, from now on, without a consumer group.

A notice is a hint. So whatever happens here ends no service: without notices every task starts when it arrives.
"""

import time
from collections.abc import Callable
from threading import Event
from typing import Any

import structlog
from confluent_kafka import OFFSET_END, KafkaException, TopicPartition
from pydantic import ValidationError

from shared.messages.chunk_notice import ChunkNotice
from shared.messages.task import MAX_ENVELOPE_BYTES
from shared.runtime.kafka_config import METADATA_REFRESH_S, METADATA_TIMEOUT_S

POLL_S = 0.2
IDLE_POLL_S = 1.0
"""While no notice is followed, which needs no check, seconds. A notice ends a poll at once."""
RETRY_S = 30.0
"""Pause before the topic is looked for again, seconds."""
log = structlog.get_logger()


class NoticeReader:
    """Passes every notice on; ``run`` is the body of a background thread, which has the consumer for itself."""

    def __init__(
        self,
        consumer: Callable[[], Any],
        topic: str,
        take: Callable[[ChunkNotice], None],
        check: Callable[[], object],
    ) -> None:
        """``consumer`` makes the consumer. ``take`` receives each notice; ``check`` is called after it, and several
        times a second as long as its result is true."""
        self._make = consumer
        self._topic = topic
        self._take = take
        self._check = check
        self._assigned: set[int] = set()
        self._faulty = False
        self._poll_s = IDLE_POLL_S

    def run(self, stop: Event) -> None:
        """Read until ``stop``."""
        consumer = self._make()
        try:
            refresh_at = 0.0
            while not stop.is_set():
                if time.monotonic() >= refresh_at:
                    refresh_at = time.monotonic() + self._refresh(consumer)
                self._step(consumer)
        finally:
            consumer.close()

    def _step(self, consumer: Any) -> None:
        try:
            message = consumer.poll(self._poll_s)
            if message is not None and message.error() is None:
                notice = self._parse(message.value())
                if notice is not None:
                    self._take(notice)
            elif message is not None:
                self._fault(message.error().name())
            self._poll_s = POLL_S if self._check() else IDLE_POLL_S
        except Exception as e:  # noqa: BLE001 - a hint that can't be followed must not end the thread
            log.warning("chunk_notice_not_followed", error=type(e).__name__, text=str(e))

    def _refresh(self, consumer: Any) -> float:
        """Assign the partitions that the topic has now, new ones from their end; returns the pause until the next
        look, seconds."""
        try:
            metadata = consumer.list_topics(self._topic, timeout=METADATA_TIMEOUT_S).topics[self._topic]
        except KafkaException as e:
            return self._fault(str(e.args[0]))
        if not metadata.partitions:
            return self._fault("the topic does not exist, or this service may not read it")
        found = set(metadata.partitions)
        if added := found - self._assigned:
            consumer.incremental_assign([TopicPartition(self._topic, p, OFFSET_END) for p in sorted(added)])
            self._assigned |= added
            log.info("chunk_notices_followed", partitions=len(self._assigned))
        self._faulty = False
        return float(METADATA_REFRESH_S)

    def _fault(self, reason: str) -> float:
        """Log the first of several faults in a row."""
        if not self._faulty:
            log.warning("chunk_notices_not_read", topic=self._topic, reason=reason)
        self._faulty = True
        return RETRY_S

    @staticmethod
    def _parse(value: bytes | None) -> ChunkNotice | None:
        if not value or len(value) > MAX_ENVELOPE_BYTES:
            return None
        try:
            return ChunkNotice.parse(value)
        except ValidationError:
            log.warning("chunk_notice_unreadable")
            return None
