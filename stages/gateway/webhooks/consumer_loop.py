"""The loop of the service: reads both topics as one member of its group, hands records over, commits what is settled.

One thread owns the consumer. A record stays uncommitted until the broker has what became of it, so that a service that
dies loses nothing: its successor reads the record again, and tells the endpoint again under the same id.
"""

import time
from threading import Event
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from shared.runtime.consume.assignment import PartitionAssignment, Record
from shared.runtime.consume.commit_request import commit
from shared.runtime.consume.consumer import record_of
from shared.runtime.consume.membership import ends_membership, membership_ended
from shared.runtime.consume.offset_tracker import OffsetTracker
from shared.runtime.kafka_config import METADATA_REFRESH_S
from stages.gateway.webhooks.handling import Handling

BUSY_POLL_S = 0.02
IDLE_POLL_S = 0.2
MAX_READ = 200
"""Records that one step reads at most."""
PAUSE_AT, RESUME_AT = 1000, 500
"""Records that are handled at a time: above the first number nothing more is read."""
COMMIT_EVERY_S = 0.5
ANSWER_S = 10.0
RETRY_S = 1.0
BARRIER_S = 30.0
"""How long a revocation waits for POSTs that are under way, seconds."""
Name = tuple[str, int]
log = structlog.get_logger()


class _Owned:
    """A partition of this member."""

    def __init__(self, topic: str, partition: int) -> None:
        self.assignment = PartitionAssignment(topic, partition)
        self.offsets = OffsetTracker()
        self.at_broker: int | None = None


class ConsumerLoop:
    """Consumes as one member of the group. Used by one thread, but for what says so."""

    def __init__(self, consumer: Any, handling: Handling) -> None:
        self._consumer = consumer
        self._handling = handling
        self._owned: dict[Name, _Owned] = {}
        self._subscribed: list[str] = []
        self._renew_at = self._commit_at = 0.0
        self._in_flight = 0
        self._paused = False
        self.heartbeat = time.monotonic()
        """When the loop made its last step. Any thread."""
        self.broker_answers = False
        self.joined = Event()

    @property
    def subscribed(self) -> list[str]:
        """The topics that are read. Any thread."""
        return self._subscribed

    def run(self, stop: Event, drain_s: float) -> None:
        """Consume until ``stop``; then wait up to ``drain_s`` seconds for what runs, commit and leave the group.

        Raises KafkaException on a fatal client error.
        """
        try:
            while not stop.is_set():
                self.step()
            self._settle(set(self._owned), drain_s)
        finally:
            try:
                self._commit(set(self._owned))
            finally:
                self._consumer.close()

    def step(self) -> None:
        """Read, settle and commit once."""
        self.heartbeat = time.monotonic()
        self._subscribe_if_due()
        self._read()
        self._take_completions()
        if time.monotonic() >= self._commit_at:
            self._commit(set(self._owned))
        self._pause_or_resume()

    def _subscribe_if_due(self) -> None:
        """Subscribe to the topics that exist; those of tenants may be made later."""
        if time.monotonic() < self._renew_at:
            return
        try:
            names = self._consumer.list_topics(timeout=ANSWER_S).topics
        except KafkaException as e:
            log.warning("broker_not_reached", error=e.args[0].name())
            self.broker_answers = False
            self._renew_at = time.monotonic() + RETRY_S
            return
        self.broker_answers = True
        topics = self._handling.topics(names)
        self._renew_at = time.monotonic() + (METADATA_REFRESH_S if topics else RETRY_S)
        if topics and topics != self._subscribed:
            self._consumer.subscribe(
                topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            self._subscribed = topics
            log.info("topics_subscribed", topics=topics)

    def _read(self) -> None:
        if not self._subscribed:
            time.sleep(IDLE_POLL_S)
            return
        timeout = BUSY_POLL_S if self._in_flight else IDLE_POLL_S
        for _ in range(MAX_READ):
            message = self._consumer.poll(timeout)
            timeout = 0.0
            if message is None:
                return
            if message.error() is not None:
                self._on_event(message)
            else:
                self._take(record_of(message))
            if self._in_flight >= PAUSE_AT:
                return

    def _take(self, record: Record) -> None:
        owned = self._owned.get((record.topic, record.partition))
        if owned is None or not owned.offsets.start(record.offset, record.timestamp_ms):
            return
        if self._handling.needs_nothing(record):
            owned.offsets.finish(record.offset)
            return
        self._in_flight += 1
        self._handling.submit(record, owned.assignment)

    def _on_event(self, message: Any) -> None:
        """Handle the end of a partition or an error."""
        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            if owned := self._owned.get((message.topic(), message.partition())):
                owned.offsets.reached(message.offset())
            return
        if ends_membership(error):
            raise membership_ended(error)
        log.warning("kafka_error", error=error.name(), text=error.str())

    def _take_completions(self, timeout: float = 0.0) -> None:
        """Settle what is done; waits at most so long for the first, seconds."""
        while not self._handling.completions.empty() or timeout:
            if self._handling.completions.empty():
                time.sleep(timeout)
                timeout = 0.0
                continue
            timeout = 0.0
            done = self._handling.completions.get()
            self._in_flight -= 1
            owned = self._owned.get((done.record.topic, done.record.partition))
            if owned is not None and owned.assignment is done.assignment:
                (owned.offsets.finish if done.settled else owned.offsets.drop)(done.record.offset)

    def _pause_or_resume(self) -> None:
        """Read nothing more while much is under way; a poll keeps the membership all the same."""
        partitions = [TopicPartition(*name) for name in self._owned]
        if not self._paused and self._in_flight >= PAUSE_AT:
            self._consumer.pause(partitions)
            self._paused = True
        elif self._paused and self._in_flight <= RESUME_AT:
            self._consumer.resume(partitions)
            self._paused = False

    def _commit(self, names: set[Name]) -> None:
        """Commit the contiguous prefix of settled records of these partitions."""
        self._commit_at = time.monotonic() + COMMIT_EVERY_S
        offsets = {
            name: offset
            for name in names
            if (offset := self._owned[name].offsets.committable()) is not None and offset != self._owned[name].at_broker
        }
        if not offsets:
            return
        retry_s = commit(self._consumer, [TopicPartition(*name, offset) for name, offset in offsets.items()])
        if retry_s is not None:
            self._commit_at = time.monotonic() + retry_s
            return
        for name, offset in offsets.items():
            self._owned[name].at_broker = offset

    def _settle(self, names: set[Name], limit_s: float) -> None:
        """Let what runs for these partitions end; what waits is not begun."""
        for name in names:
            self._owned[name].assignment.revoking = True
        until = time.monotonic() + limit_s
        while time.monotonic() < until and any(self._owned[name].offsets.running for name in names):
            self.heartbeat = time.monotonic()
            self._take_completions(BUSY_POLL_S)

    def _on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        for p in partitions:
            self._owned[p.topic, p.partition] = _Owned(p.topic, p.partition)
        # The client keeps a pause across a revocation.
        (consumer.pause if self._paused else consumer.resume)(partitions)
        self.joined.set()
        log.info("partitions_assigned", count=len(partitions))

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Let POSTs that are under way end, and commit; then the next owner starts."""
        names = {(p.topic, p.partition) for p in partitions} & self._owned.keys()
        self._settle(names, BARRIER_S)
        self._commit(names)
        self._release(names)
        consumer.incremental_unassign(partitions)
        log.info("partitions_revoked", count=len(partitions))

    def _on_lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """The group has excluded this member: it must commit nothing for these partitions."""
        self._release({(p.topic, p.partition) for p in partitions} & self._owned.keys())
        consumer.incremental_unassign(partitions)
        log.warning("partitions_lost", count=len(partitions))

    def _release(self, names: set[Name]) -> None:
        for name in names:
            self._owned.pop(name).assignment.held = False
