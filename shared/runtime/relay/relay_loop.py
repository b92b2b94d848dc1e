"""The relay's loop: reads the retry topics, sends what is due, takes part in rebalances, commits what was sent.

One thread owns the consumer and the producer. A record stays uncommitted until it is delivered to its target, so that a
relay that dies loses nothing: its successor reads the records again, and they are due as before.
"""

import time
from threading import Event
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from shared.messages.tiers import Tier
from shared.runtime.broker_clock import BrokerClock
from shared.runtime.consume.commit_request import STATE_LOST, TRANSIENT
from shared.runtime.consume.consumer import Consumer, record_of
from shared.runtime.consume.freeze_guard import clock_of_freezes
from shared.runtime.consume.membership import ends_membership, membership_ended
from shared.runtime.consume.owned_partition import Name
from shared.runtime.relay.dispatcher import Dispatcher
from shared.runtime.relay.retry_partition import RetryPartition
from shared.runtime.relay.topic_catalogue import TopicCatalogue
from shared.runtime.relay.waiting_metrics import WaitingMetrics

BUSY_POLL_S = 0.005
IDLE_POLL_S = 0.1
MAX_READ = 500
"""Records that one step reads at most."""
COMMIT_EVERY_S = 0.2
COMMIT_RETRY_S = 1.0
FROZEN_S = 3.0
"""A process that stood still for this time may have lost its partitions: it sends nothing for as long again, until its
client has heard from the group."""
log = structlog.get_logger()


class RelayLoop:
    """Consumes the retry topics as one member of the relay's group."""

    def __init__(
        self,
        consumer: Consumer,
        catalogue: TopicCatalogue,
        clock: BrokerClock,
        dispatcher: Dispatcher,
        waiting: WaitingMetrics,
        barrier_s: float,
    ) -> None:
        """``barrier_s`` is how long a revocation waits for delivery reports, seconds."""
        self._consumer = consumer
        self._catalogue = catalogue
        self._clock = clock
        self._dispatcher = dispatcher
        self._waiting = waiting
        self._barrier_s = barrier_s
        self._subscribed: frozenset[str] = frozenset()
        self._tiers: dict[str, Tier] = {}
        self._partitions: dict[Name, RetryPartition] = {}
        self._paused: set[Name] = set()
        self._commit_at = 0.0
        self._send_at = 0.0
        self._stepped_at = clock_of_freezes()
        self._commit_since: float | None = None
        self.heartbeat = time.monotonic()
        self.joined = Event()

    @property
    def partitions(self) -> list[RetryPartition]:
        """The partitions that this process owns."""
        return list(self._partitions.values())

    @property
    def commit_s(self) -> float:
        """For how long the loop has waited for the broker's answer to a commit, seconds; 0 when it does not wait. Any
        thread."""
        since = self._commit_since
        return 0.0 if since is None else time.monotonic() - since

    def run(self, stop: Event, drain_s: float) -> None:
        """Relay until ``stop``; then wait up to ``drain_s`` seconds for delivery reports, commit and leave the group.

        Raises KafkaException on a fatal client error: the process must end and be started again.
        """
        self.heartbeat, self._stepped_at = time.monotonic(), clock_of_freezes()
        try:
            while not stop.is_set():
                self.step()
            self._barrier_s = min(self._barrier_s, drain_s)
            self._settle(set(self._partitions))
        finally:
            try:
                self._commit()
            finally:
                self._consumer.close()

    def step(self) -> None:
        """Read, send and commit once; blocks for at most 0.1 s, or longer while the broker does not answer."""
        now = time.monotonic()
        silent_s = clock_of_freezes() - self._stepped_at
        if silent_s > FROZEN_S:
            self._send_at = now + FROZEN_S
        self.heartbeat, self._stepped_at = now, self._stepped_at + silent_s
        if self._catalogue.renew_if_due():
            self._subscribe()
        self._read()
        if time.monotonic() >= self._send_at:
            self._dispatcher.dispatch(self._partitions.values())
        self._dispatcher.take_reports(BUSY_POLL_S if self._dispatcher.is_saturated else 0.0)
        if time.monotonic() >= self._commit_at:
            self._commit()
        self._pause_or_resume()
        self._waiting.update_if_due(self._consumer, self.partitions)

    def _subscribe(self) -> None:
        """Subscribe to the retry topics that exist, also to those of tiers that are not configured any more."""
        topics = self._catalogue.retry_topics
        if topics.keys() == self._subscribed or not topics:
            return
        self._subscribed = frozenset(topics)
        self._tiers |= topics
        self._consumer.subscribe(
            list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        log.info("retry_topics_subscribed", topics=list(topics))

    def _read(self) -> None:
        if not self._subscribed:
            self._dispatcher.take_reports(IDLE_POLL_S)
            return
        timeout = self._poll_s()
        # A poll keeps the membership. To read on would fill the partitions until they are paused, which costs a new
        # fetch session, while the broker is about to report.
        for _ in range(1 if self._dispatcher.is_saturated else MAX_READ):
            message = self._consumer.poll(timeout)
            timeout = 0.0
            if message is None:
                return
            if message.error() is not None:
                self._on_event(message)
            else:
                self._take(message)

    def _poll_s(self) -> float:
        if any(one.in_flight for one in self._partitions.values()):
            return BUSY_POLL_S
        due_s = self._dispatcher.next_due_s(self._partitions.values())
        if due_s is None:  # The time may be unknown, and its report on the way.
            return BUSY_POLL_S if any(one.first for one in self._partitions.values()) else IDLE_POLL_S
        return min(max(due_s, BUSY_POLL_S), IDLE_POLL_S)

    def _take(self, message: Any) -> None:
        record = record_of(message)
        partition = self._partitions.get((record.topic, record.partition))
        if partition is None:
            return
        wait_ms = partition.tier.seconds * 1000
        if record.producer_time:
            # The topic lacks LogAppendTime. A producer's clock could make the record due early: it waits from now.
            now_ms = self._clock.now_ms()
            due_ms = None if now_ms is None else now_ms + wait_ms
        else:
            due_ms = record.timestamp_ms + wait_ms
        if not partition.add(record, due_ms):
            log.warning("record_delivered_twice", topic=record.topic, partition=record.partition, offset=record.offset)

    def _on_event(self, message: Any) -> None:
        """Handle the end of a partition or an error."""
        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            if partition := self._partitions.get((message.topic(), message.partition())):
                partition.reached(message.offset())
            return
        if ends_membership(error):
            raise membership_ended(error)
        log.warning("kafka_error", error=error.name(), text=error.str())
        self._catalogue.renew_soon()

    def _pause_or_resume(self) -> None:
        """Pause partitions with many waiting records, resume them when few wait: on transitions only."""
        pause = {key for key, one in self._partitions.items() if one.is_full} - self._paused
        resume = {key for key in self._paused if self._partitions[key].has_room}
        if pause:
            self._consumer.pause([TopicPartition(*key) for key in pause])
        if resume:
            self._consumer.resume([TopicPartition(*key) for key in resume])
        self._paused = (self._paused | pause) - resume

    def _commit(self, partitions: set[Name] | None = None) -> None:
        """Commit the contiguous prefix of settled records, of all partitions by default. Synchronously: a failure is
        known at once."""
        self._commit_at = time.monotonic() + COMMIT_EVERY_S
        offsets = [
            TopicPartition(*key, offset)
            for key, one in self._partitions.items()
            if (partitions is None or key in partitions) and (offset := one.committable()) is not None
        ]
        if not offsets:
            return
        self._commit_since = time.monotonic()
        try:
            results = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as e:
            error = e.args[0]
            if not (error.code() in STATE_LOST or error.retriable() or error.code() in TRANSIENT):
                raise
            log.warning("commit_failed", error=error.name())
            self._commit_at = time.monotonic() + COMMIT_RETRY_S
            return
        finally:
            self._commit_since = None
        for result in results:
            if result.error is None:
                self._partitions[result.topic, result.partition].committed(result.offset)

    def _settle(self, partitions: set[Name]) -> None:
        """Wait until every sent record of these partitions is settled."""
        until = time.monotonic() + self._barrier_s
        while time.monotonic() < until and any(self._partitions[key].in_flight for key in partitions):
            self.heartbeat, self._stepped_at = time.monotonic(), clock_of_freezes()
            self._dispatcher.take_reports(BUSY_POLL_S)

    def _on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        # pause() and resume() are silent no-ops before the assignment is applied.
        consumer.incremental_assign(partitions)
        for p in partitions:
            self._partitions[p.topic, p.partition] = RetryPartition(p.topic, p.partition, self._tiers[p.topic])
            self._paused.discard((p.topic, p.partition))
        # The client keeps a pause across a revocation: resume explicitly.
        consumer.resume(partitions)
        self.joined.set()
        log.info("partitions_assigned", count=len(partitions))

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Wait until the sent records of these partitions are settled and committed; then the next owner starts."""
        revoked = {(p.topic, p.partition) for p in partitions} & self._partitions.keys()
        self._settle(revoked)
        self._commit(revoked)
        self._release(revoked)
        consumer.incremental_unassign(partitions)
        log.info("partitions_revoked", count=len(partitions))

    def _on_lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """The group has excluded this member: it must commit nothing for these partitions."""
        self._release({(p.topic, p.partition) for p in partitions} & self._partitions.keys())
        consumer.incremental_unassign(partitions)
        log.warning("partitions_lost", count=len(partitions))

    def _release(self, partitions: set[Name]) -> None:
        for key in partitions:
            self._partitions.pop(key).held = False
        self._paused -= partitions
