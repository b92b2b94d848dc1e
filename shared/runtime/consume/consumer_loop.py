"""The consumer loop: polls, pauses, takes part in rebalances, commits settled records.

It is the one thread that owns the consumer; it submits records to slots and stays in the group while they work."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty
from threading import Event
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from shared.runtime.consume.assignment import Completions, OffsetTracker, PartitionAssignment, Record
from shared.runtime.consume.consumer import Consumer, Slots, record_of

BUSY_POLL_S = 0.01
"""Poll timeout while a slot works, whose completion must be seen at once: 0.2 s would add 86 ms to a hop, this costs
0.8 % of a core."""
IDLE_POLL_S = 0.25
PAUSE_AT = 32
RESUME_AT = 4
"""Partitions are paused at ``PAUSE_AT`` buffered records and resumed below ``RESUME_AT``."""
COMMIT_RETRY_S = 1.0
COMMIT_IDLE_S = 0.1
"""Partitions reach their ends one after the other: one commit after this time covers all of them."""
STATE_LOST = {
    KafkaError._STATE,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError._NO_OFFSET,
    KafkaError._ASSIGNMENT_LOST,
}
"""Commit errors that mean: another member owns the partition, and receives the record again. They are no failure."""
TRANSIENT = {
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._WAIT_COORD,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
}
"""Transient commit errors: the same offsets are committed again a moment later."""

Partition = tuple[str, int]
log = structlog.get_logger()


class ConsumerLoop:
    """Polls, submits records to free slots, and commits the records that they have settled.

    At most ``slots.count`` records run. Some more are buffered here; then the partitions are paused while polling
    continues, so a task may take longer than ``max.poll.interval.ms``.
    """

    def __init__(
        self,
        consumer: Consumer,
        topics: Sequence[str],
        slots: Slots,
        completions: Completions,
        barrier_s: float,
        may_start: Callable[[int], bool] = lambda _: True,
        max_crashes: int = 3,
    ) -> None:
        """``barrier_s`` is how long a revocation waits for running tasks, seconds. ``may_start`` returns whether a
        record may be submitted while so many run; ``max_crashes`` is how often a record may end the process."""
        self._may_start = may_start
        self._max_crashes = max_crashes
        self._consumer = consumer
        self._topics = list(topics)
        self._slots = slots
        self._completions = completions
        self._capacity = slots.count
        self._barrier_s = barrier_s
        self._trackers: dict[Partition, OffsetTracker] = {}
        self._buffered: deque[Record] = deque()
        self._running = 0
        self._paused: set[Partition] = set()
        self._stop = Event()
        self._drain_s = 0.0
        self._drain_until: float | None = None
        self._commit_at: float | None = None
        self.heartbeat = time.monotonic()
        self.joined = Event()

    def run(self, stop: Event, drain_s: float) -> None:
        """Consume until ``stop``; then let running tasks end within ``drain_s`` seconds, commit and leave the group.

        Raises KafkaException on a fatal client error: the process must end and be started again.
        """
        self._stop, self._drain_s = stop, drain_s
        self._consumer.subscribe(
            self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        try:
            while not stop.is_set():
                self._step(BUSY_POLL_S if self._running else IDLE_POLL_S)
            self._drain()
        finally:
            self._commit()
            self._consumer.close()

    def _step(self, timeout: float) -> None:
        self.heartbeat = time.monotonic()
        self._take_completions()
        self._submit_buffered()
        self._pause_or_resume()
        message = self._consumer.poll(timeout)
        if message is None:
            return
        if message.error() is not None:
            self._on_event(message)
            return
        record = record_of(message)
        tracker = self._trackers.get((record.topic, record.partition))
        if tracker is None:
            return
        if tracker.start(record.offset, (record.timestamp_ms, record.key, hash(record.value))):
            self._buffered.append(record)
            self._submit_buffered()
        else:
            log.warning("record_delivered_twice", topic=record.topic, partition=record.partition, offset=record.offset)

    def _submit_buffered(self) -> None:
        while self._buffered and self._running < self._capacity and self._may_start(self._running):
            record = self._buffered.popleft()
            self._running += 1
            self._slots.submit(record, self._trackers[record.topic, record.partition].assignment)

    def _take_completions(self) -> None:
        any_settled = False
        while True:
            try:
                completion = self._completions.get_nowait()
            except Empty:
                break
            self._running -= 1
            record = completion.record
            tracker = self._trackers.get((record.topic, record.partition))
            if tracker is None or tracker.assignment is not completion.assignment:
                continue
            if completion.settled:
                tracker.finish(record.offset)
                any_settled = True
            else:
                tracker.drop(record.offset)
        if any_settled or (self._commit_at is not None and time.monotonic() > self._commit_at):
            self._commit()

    def _pause_or_resume(self) -> None:
        """Pause when enough records are buffered, resume when few are; call the client on transitions only.

        Pausing discards prefetched records and restarts the fetch session, which costs up to hundreds of milliseconds
        at the next record: a burst of short tasks must not pay that for each. Buffered records are small, and a
        revocation drops them.
        """
        limit = RESUME_AT if self._paused else PAUSE_AT
        full = len(self._buffered) >= limit or self._capacity == 0
        owned = set(self._trackers)
        change = owned - self._paused if full else owned & self._paused
        if not change:
            return
        partitions = [TopicPartition(*p) for p in change]
        if full:
            self._consumer.pause(partitions)
            self._paused |= change
        else:
            self._consumer.resume(partitions)
            self._paused -= change

    def _commit(self, partitions: set[Partition] | None = None) -> None:
        """Commit the contiguous prefixes, of all partitions by default. Synchronously: rates are low, and a failure is
        known at once."""
        if partitions is None:
            self._commit_at = None
        offsets = []
        for partition, tracker in self._trackers.items():
            offset = tracker.committable()
            if offset is not None and (partitions is None or partition in partitions):
                offsets.append(TopicPartition(*partition, offset))
        if not offsets:
            return
        try:
            results = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as e:
            error = e.args[0]
            if error.code() in STATE_LOST:
                log.info("commit_after_loss", error=error.name())
            elif error.retriable() or error.code() in TRANSIENT:
                log.warning("commit_failed", error=error.name())
                self._commit_at = time.monotonic() + COMMIT_RETRY_S
            else:
                raise
            return
        for result in results:
            if result.error is None:
                self._trackers[result.topic, result.partition].committed(result.offset)

    def _on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        # pause() and resume() are silent no-ops before the assignment is applied.
        consumer.incremental_assign(partitions)
        for p in partitions:
            self._trackers[p.topic, p.partition] = OffsetTracker(PartitionAssignment(p.topic, p.partition))
            self._paused.discard((p.topic, p.partition))
        # The client keeps a pause across a revocation: resume explicitly.
        consumer.resume(partitions)
        self.joined.set()
        log.info("partitions_assigned", count=len(partitions))

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Wait until running tasks of these partitions have ended and are committed; then the next owner starts."""
        revoked = {(p.topic, p.partition) for p in partitions}
        self._drop_buffered(revoked)
        for partition in revoked & set(self._trackers):
            self._trackers[partition].assignment.revoking = True
        self._wait_for(revoked, self._barrier_s)
        self._commit(revoked)
        self._release(revoked)
        consumer.incremental_unassign(partitions)
        log.info("partitions_revoked", count=len(partitions))

    def _on_lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """The group has excluded this member: it must commit and publish nothing for these partitions."""
        lost = {(p.topic, p.partition) for p in partitions}
        self._drop_buffered(lost)
        self._release(lost)
        consumer.incremental_unassign(partitions)
        log.warning("partitions_lost", count=len(partitions))

    def _release(self, partitions: set[Partition]) -> None:
        """Forget partitions that this member no longer owns; tasks that still run for them publish nothing."""
        for partition in partitions:
            tracker = self._trackers.pop(partition, None)
            if tracker is not None:
                tracker.assignment.held = False
        self._paused -= partitions

    def _drop_buffered(self, partitions: set[Partition]) -> None:
        keep: deque[Record] = deque()
        for record in self._buffered:
            if (record.topic, record.partition) in partitions:
                self._trackers[record.topic, record.partition].drop(record.offset)
            else:
                keep.append(record)
        self._buffered = keep

    def _wait_for(self, partitions: set[Partition], seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < min(end, self._drain_end()):
            self.heartbeat = time.monotonic()
            self._take_completions()
            if not any(self._trackers[p].running for p in partitions if p in self._trackers):
                return
            time.sleep(BUSY_POLL_S)

    def _drain_end(self) -> float:
        """When the drain ends: ``drain_s`` after the stop was first noticed; infinite before that."""
        if self._drain_until is None and self._stop.is_set():
            self._drain_until = time.monotonic() + self._drain_s
        return math.inf if self._drain_until is None else self._drain_until

    def _drain(self) -> None:
        """Take no more records, and poll (to stay in the group) until running tasks have ended."""
        self._drop_buffered(set(self._trackers))
        self._capacity = 0
        while self._running and time.monotonic() < self._drain_end():
            self._step(BUSY_POLL_S)
        self._take_completions()
        self._barrier_s = 0.0  # close() revokes the partitions; tasks that still run have used up the drain.

    def _on_event(self, message: Any) -> None:
        """Handle the end of a partition or an error. At the end the position is committed, which is past control
        records."""
        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            tracker = self._trackers.get((message.topic(), message.partition()))
            if tracker is not None:
                tracker.reached(message.offset())
                if self._commit_at is None:
                    self._commit_at = time.monotonic() + COMMIT_IDLE_S
            return
        if error.fatal() or error.code() == KafkaError._MAX_POLL_EXCEEDED:
            raise KafkaException(error)
        log.warning("kafka_error", error=error.name(), text=error.str())
