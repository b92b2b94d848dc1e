"""The consumer loop: the one thread that owns the consumer. Feeds slots, keeps the membership, commits what is done."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty
from threading import Event
from typing import Any, Protocol

import structlog
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, TopicPartition

from shared.runtime.consume.assignment import Completions, OffsetTracker, PartitionAssignment, Record

BUSY_POLL_S = 0.01
"""While a slot works its end must be seen at once; 0.2 s would add 86 ms to a hop, this costs 0.8 % of a core."""
IDLE_POLL_S = 0.25
MOST_WAITING = 32
FEW_WAITING = 4
"""The flow stops at so many records at hand, and goes on at so few."""
COMMIT_AGAIN_S = 1.0
COMMIT_IDLE_S = 0.1
"""Partitions reach their ends one after the other: after so long all of them are committed at once."""
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
"""Commit errors that say: the partition is another's now. Information, not failure: the record comes again there."""
PASSING = {
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._WAIT_COORD,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
}
"""Commit errors that pass by themselves: the same offsets are committed again a moment later."""

Partition = tuple[str, int]
log = structlog.get_logger()


class Consumer(Protocol):
    """What the loop needs of a Kafka consumer; `confluent_kafka.Consumer` is one."""

    def subscribe(
        self,
        topics: list[str],
        on_assign: "OnPartitions",
        on_revoke: "OnPartitions",
        on_lost: "OnPartitions",
    ) -> None: ...
    def poll(self, timeout: float) -> Any: ...
    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]: ...
    def pause(self, partitions: list[TopicPartition]) -> None: ...
    def resume(self, partitions: list[TopicPartition]) -> None: ...
    def incremental_assign(self, partitions: list[TopicPartition]) -> None: ...
    def incremental_unassign(self, partitions: list[TopicPartition]) -> None: ...
    def close(self) -> None: ...


OnPartitions = Callable[[Any, list[TopicPartition]], None]


class Slots(Protocol):
    """Where records are processed; each submitted one comes back as a completion."""

    @property
    def count(self) -> int: ...
    def submit(self, record: Record, assignment: PartitionAssignment) -> None: ...


class ConsumerLoop:
    """Polls, submits records to free slots, and commits what they have settled.

    Never more than ``slots.count`` records are out; some more wait here, then the partitions are paused and polling
    goes on, so a task may take longer than ``max.poll.interval.ms``.
    """

    def __init__(
        self, consumer: Consumer, topics: Sequence[str], slots: Slots, completions: Completions, barrier_s: float
    ) -> None:
        """``barrier_s`` is how long a revocation waits for the tasks that run."""
        self._consumer = consumer
        self._topics = list(topics)
        self._slots = slots
        self._completions = completions
        self._capacity = slots.count
        self._barrier_s = barrier_s
        self._trackers: dict[Partition, OffsetTracker] = {}
        self._waiting: deque[Record] = deque()
        self._out = 0
        self._paused: set[Partition] = set()
        self._stop = Event()
        self._drain_s = 0.0
        self._drain_until: float | None = None
        self._commit_at: float | None = None
        self.heartbeat = time.monotonic()
        self.joined = Event()

    def run(self, stop: Event, drain_s: float) -> None:
        """Work until ``stop``; then let running tasks end within ``drain_s``, commit and leave the group.

        Raises KafkaException on a fatal client error: the process should end and be started again.
        """
        self._stop, self._drain_s = stop, drain_s
        self._consumer.subscribe(
            self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        try:
            while not stop.is_set():
                self._step(BUSY_POLL_S if self._out else IDLE_POLL_S)
            self._drain()
        finally:
            self._commit()
            self._consumer.close()

    def _step(self, timeout: float) -> None:
        self.heartbeat = time.monotonic()
        self._take_completions()
        self._submit_waiting()
        self._pause_or_resume()
        message = self._consumer.poll(timeout)
        if message is None:
            return
        if message.error() is not None:
            self._on_event(message)
            return
        record = _record(message)
        tracker = self._trackers.get((record.topic, record.partition))
        if tracker is None:
            return
        if tracker.start(record.offset, (record.timestamp_ms, record.key, hash(record.value))):
            self._waiting.append(record)
            self._submit_waiting()
        else:
            log.warning("record_delivered_twice", topic=record.topic, partition=record.partition, offset=record.offset)

    def _submit_waiting(self) -> None:
        while self._waiting and self._out < self._capacity:
            record = self._waiting.popleft()
            self._out += 1
            self._slots.submit(record, self._trackers[record.topic, record.partition].assignment)

    def _take_completions(self) -> None:
        news = False
        while True:
            try:
                done = self._completions.get_nowait()
            except Empty:
                break
            self._out -= 1
            record = done.record
            tracker = self._trackers.get((record.topic, record.partition))
            if tracker is None or tracker.assignment is not done.assignment:
                continue
            if done.settled:
                tracker.finish(record.offset)
                news = True
            else:
                tracker.drop(record.offset)
        if news or (self._commit_at is not None and time.monotonic() > self._commit_at):
            self._commit()

    def _pause_or_resume(self) -> None:
        """Pause when enough records wait for a slot, resume when few do; on transitions only.

        Pausing drops what was fetched and restarts the fetch session, which costs up to hundreds of milliseconds at the
        next record: a burst of short tasks must not pay that for each. Records at hand are small, and go back at a
        revocation.
        """
        most = FEW_WAITING if self._paused else MOST_WAITING
        full = len(self._waiting) >= most or self._capacity == 0
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

    def _commit(self, of: set[Partition] | None = None) -> None:
        """Commit the contiguous prefixes, synchronously: rates are low, and a failure is known at once."""
        if of is None:
            self._commit_at = None
        offsets = []
        for partition, tracker in self._trackers.items():
            upto = tracker.committable()
            if upto is not None and (of is None or partition in of):
                offsets.append(TopicPartition(*partition, upto))
        if not offsets:
            return
        try:
            results = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as e:
            error = e.args[0]
            if error.code() in STATE_LOST:
                log.info("commit_after_loss", error=error.name())
            elif error.retriable() or error.code() in PASSING:
                log.warning("commit_failed", error=error.name())
                self._commit_at = time.monotonic() + COMMIT_AGAIN_S
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
        # A pause survives a revocation: say explicitly what is wanted.
        consumer.resume(partitions)
        self.joined.set()
        log.info("partitions_assigned", count=len(partitions))

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Barrier: running tasks of these partitions may end and be committed before the next owner starts."""
        revoked = {(p.topic, p.partition) for p in partitions}
        self._drop_waiting(revoked)
        for partition in revoked & set(self._trackers):
            self._trackers[partition].assignment.revoking = True
        self._wait_for(revoked, self._barrier_s)
        self._commit(revoked)
        for partition in revoked:
            tracker = self._trackers.pop(partition, None)
            if tracker is not None:
                tracker.assignment.held = False
        self._paused -= revoked
        consumer.incremental_unassign(partitions)
        log.info("partitions_revoked", count=len(partitions))

    def _on_lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """The group went on without us: nothing may be committed, nothing handed on."""
        lost = {(p.topic, p.partition) for p in partitions}
        self._drop_waiting(lost)
        for partition in lost:
            tracker = self._trackers.pop(partition, None)
            if tracker is not None:
                tracker.assignment.held = False
        self._paused -= lost
        consumer.incremental_unassign(partitions)
        log.warning("partitions_lost", count=len(partitions))

    def _drop_waiting(self, partitions: set[Partition]) -> None:
        keep: deque[Record] = deque()
        for record in self._waiting:
            if (record.topic, record.partition) in partitions:
                self._trackers[record.topic, record.partition].drop(record.offset)
            else:
                keep.append(record)
        self._waiting = keep

    def _wait_for(self, partitions: set[Partition], seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < min(end, self._drain_end()):
            self.heartbeat = time.monotonic()
            self._take_completions()
            if not any(self._trackers[p].running for p in partitions if p in self._trackers):
                return
            time.sleep(BUSY_POLL_S)

    def _drain_end(self) -> float:
        """When running tasks have had their time: ``drain_s`` after the stop was seen first."""
        if self._drain_until is None and self._stop.is_set():
            self._drain_until = time.monotonic() + self._drain_s
        return math.inf if self._drain_until is None else self._drain_until

    def _drain(self) -> None:
        """Stop taking, keep polling (membership), until running tasks have ended."""
        self._drop_waiting(set(self._trackers))
        self._capacity = 0
        while self._out and time.monotonic() < self._drain_end():
            self._step(BUSY_POLL_S)
        self._take_completions()
        self._barrier_s = 0.0  # close() revokes; what still runs now has had its time.

    def _on_event(self, message: Any) -> None:
        """The end of a partition, or an error. At the end the position is committed, past what is no record for us."""
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


def _record(message: Any) -> Record:
    """The message as a value. Headers whose names are no UTF-8 can't be read at all: the record counts as without."""
    try:
        headers = list(message.headers() or [])
    except SystemError:
        log.warning("headers_unreadable", topic=message.topic(), partition=message.partition(), offset=message.offset())
        headers = []
    where = (message.topic(), message.partition(), message.offset())
    kind, timestamp_ms = message.timestamp()
    by_producer = kind != TIMESTAMP_LOG_APPEND_TIME
    return Record(*where, message.key(), message.value(), headers, timestamp_ms, by_producer)
