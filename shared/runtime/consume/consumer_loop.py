"""The consumer loop: polls, pauses, takes part in rebalances, commits settled records and attempt counts.

It is the one thread that owns the consumer; it submits records to slots and stays in the group while they work."""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty
from threading import Event
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from shared.runtime.consume.assignment import Completion, Completions, PartitionAssignment, Record
from shared.runtime.consume.commits import Commits
from shared.runtime.consume.consumer import Consumer, Slots, record_of
from shared.runtime.consume.crash_reports import CrashReports
from shared.runtime.consume.dispatcher import READ_AHEAD, Dispatcher
from shared.runtime.consume.freeze_guard import FreezeGuard
from shared.runtime.consume.group_offsets import GroupOffsets
from shared.runtime.consume.membership import ends_membership, membership_ended
from shared.runtime.consume.owned_partition import Name, OwnedPartition
from shared.runtime.consume.pausing import Pausing

BUSY_POLL_S = 0.01
"""Poll timeout while some slots work and others are free: a record must start at once, and so must what follows a
completion. 0.2 s would add 86 ms to a hop, this costs 0.8 % of a core."""
FULL_WAIT_S = 0.05
"""Pause between two polls while every slot works: no record can start before a completion, which ends the pause."""
FULL_POLL_S = 0.001
"""Poll timeout after that pause: what has arrived meanwhile is there, and a record that waits must start at once."""
IDLE_POLL_S = 0.25
COMMIT_IDLE_S = 0.1
"""Partitions reach their ends one after the other: one commit after this time covers all of them."""
MAX_CRASHES = 3
POLL_RECORDS = 100
"""Records that are taken between two looks at the slots."""

log = structlog.get_logger()


class ConsumerLoop:
    """Polls, submits records to free slots, and commits the records that they have settled.

    At most ``slots.count`` records run. Many more wait here, so that lanes and tenants can be told apart: the broker
    delivers each partition in order. When enough wait, the partitions of their lane are paused while polling continues,
    so a task may take longer than ``max.poll.interval.ms``. Before a record is submitted, its attempt count
    is committed; the commit also covers what has been settled since the last one.
    """

    def __init__(
        self,
        consumer: Consumer,
        topics: Sequence[str],
        slots: Slots,
        completions: Completions,
        barrier_s: float,
        *,
        max_crashes: int = MAX_CRASHES,
        may_start: Callable[[int], bool] = lambda _: True,
        task_limit_s: float = math.inf,
        read_ahead: int = READ_AHEAD,
        served: Callable[[Record], str | None] | None = None,
    ) -> None:
        """``barrier_s`` is how long a revocation waits for running tasks, seconds.

        ``max_crashes``: a record with one crash less runs alone. ``may_start`` is asked with the number of records that
        run before each further one starts; while it returns False records stay buffered. A record that is interrupted
        after more than ``task_limit_s`` seconds in its slot hung: that counts as a crash. ``read_ahead``: how many
        records of each lane may wait here. ``served``: the tenant of a record, as of `share.share_of`.
        """
        self._consumer = consumer
        self._topics = list(topics)
        self._completions = completions
        self._barrier_s = barrier_s
        self._task_limit_s = task_limit_s
        self._dispatcher = Dispatcher(slots, max_crashes, may_start, read_ahead, served)
        self._crashes = CrashReports()
        self._owned: dict[Name, OwnedPartition] = {}
        self._commits = Commits(consumer, self._owned, self._dispatcher, self._crashes)
        self._offsets = GroupOffsets(consumer, self._owned)
        self._pausing = Pausing(consumer, read_ahead)
        self._guard = FreezeGuard()
        self._stop = Event()
        self._drain_s = 0.0
        self._drain_until: float | None = None
        self._heartbeat = time.monotonic()
        self.joined = Event()

    @property
    def heartbeat(self) -> float:
        """When the loop was last seen at work, monotonic seconds; now while it waits for a commit. Any thread."""
        return time.monotonic() if self._commits.waits else self._heartbeat

    def assignment(self, topic: str, partition: int) -> PartitionAssignment | None:
        """The assignment of a partition to this member; None when it has another owner. Any thread."""
        owned = self._owned.get((topic, partition))
        return owned.assignment if owned is not None else None

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
                self._step(BUSY_POLL_S if self._dispatcher.running else IDLE_POLL_S)
            self._drain()
        finally:
            self._leave()

    def _beat(self) -> None:
        """Note that the loop runs. After a freeze the group confirms the membership, on which the slots wait."""
        self._heartbeat = time.monotonic()
        if self._guard.step() and self._commits.confirm():
            self._guard.confirmed()

    def _step(self, timeout: float) -> None:
        self._beat()
        if self._dispatcher.full:
            timeout = FULL_POLL_S
            if (completion := self._next_completion(FULL_WAIT_S)) is not None:
                self._complete(completion)
        message = self._consumer.poll(timeout)
        for _ in range(POLL_RECORDS):
            if message is None:
                break
            self._on_message(message)
            # All that has been fetched: one of the other lane may be among it. One commit covers all that start.
            message = self._consumer.poll(0)
        if message is not None:
            self._on_message(message)
        if self._offsets.read_due():
            self._commits.due_in(0.0)
        self._settle()
        self._dispatcher.choose()
        self._commits.commit_due()
        self._heartbeat = time.monotonic()
        self._pausing.update(self._owned, self._dispatcher.fill, self._dispatcher.stopped)

    def _on_message(self, message: Any) -> None:
        if message.error() is not None:
            self._on_event(message)
            return
        record = record_of(message)
        owned = self._owned.get((record.topic, record.partition))
        if owned is None:
            return
        if owned.deliver(record):
            self._dispatcher.add(record, owned)
        else:
            log.warning("record_delivered_twice", topic=record.topic, partition=record.partition, offset=record.offset)

    def _settle(self) -> None:
        """Take what the slots report: completions and crashes. The next commit covers it."""
        for report in self._crashes.take():
            self._owned[report.assignment.topic, report.assignment.partition].crash(report.offset)
        while (completion := self._next_completion()) is not None:
            self._complete(completion)

    def _next_completion(self, wait_s: float = 0.0) -> Completion | None:
        """The next completion; None when there is none within ``wait_s`` seconds."""
        try:
            return self._completions.get(timeout=wait_s) if wait_s else self._completions.get_nowait()
        except Empty:
            return None

    def _complete(self, completion: Completion) -> None:
        """Free the record's slot; the next commit covers what became of it."""
        delivery = self._dispatcher.complete(completion)
        owned, offset = delivery.partition, delivery.record.offset
        if not owned.assignment.held:
            return
        if completion.settled:
            owned.finish(offset)
        elif self._stop.is_set() or owned.assignment.revoking:
            owned.drop(offset)
        else:
            self._dispatcher.put_back(delivery)
        self._commits.due_in(0.0)

    def _on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        # pause() and resume() are silent no-ops before the assignment is applied.
        consumer.incremental_assign(partitions)
        for p in partitions:
            assignment = PartitionAssignment(p.topic, p.partition)
            assignment.count_crash = partial(self._crashes.report, assignment)
            assignment.guard = self._guard.passes
            self._owned[p.topic, p.partition] = OwnedPartition(assignment)
            self._pausing.forget((p.topic, p.partition))
        # The client keeps a pause across a revocation: resume explicitly.
        consumer.resume(partitions)
        self._offsets.read()
        self._commits.due_in(0.0)
        self.joined.set()
        log.info("partitions_assigned", count=len(partitions))

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Wait until running tasks of these partitions have ended and are committed; then the next owner starts."""
        revoked = self._owned_of(partitions)
        self._dispatcher.drop(revoked)
        for owned in revoked:
            owned.assignment.revoking = True
        self._wait_for(revoked, self._barrier_s)
        self._offsets.lost(revoked)
        self._dispatcher.interrupt(revoked, self._task_limit_s)
        if self._commits.commit(revoked):
            self._offsets.released(revoked)
        self._release(revoked)
        consumer.incremental_unassign(partitions)
        log.info("partitions_revoked", count=len(partitions))

    def _on_lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """The group has excluded this member: it must commit and publish nothing for these partitions."""
        lost = self._owned_of(partitions)
        self._dispatcher.drop(lost)
        self._offsets.lost(lost)
        self._release(lost)
        consumer.incremental_unassign(partitions)
        log.warning("partitions_lost", count=len(partitions))

    def _owned_of(self, partitions: list[TopicPartition]) -> list[OwnedPartition]:
        return [owned for p in partitions if (owned := self._owned.get((p.topic, p.partition))) is not None]

    def _release(self, partitions: list[OwnedPartition]) -> None:
        """Forget partitions that this member no longer owns; tasks that still run for them publish nothing."""
        for owned in partitions:
            del self._owned[owned.name]
            self._pausing.forget(owned.name)
            owned.assignment.held = False
            self._crashes.abandon(owned.assignment)

    def _wait_for(self, partitions: list[OwnedPartition], seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < min(end, self._drain_end()):
            self._beat()
            self._settle()
            self._commits.commit_due()
            if not any(owned.unfinished for owned in partitions):
                return
            time.sleep(BUSY_POLL_S)

    def _drain_end(self) -> float:
        """When the drain ends: ``drain_s`` after the stop was first noticed; infinite before that."""
        if self._drain_until is None and self._stop.is_set():
            self._drain_until = time.monotonic() + self._drain_s
        return math.inf if self._drain_until is None else self._drain_until

    def _drain(self) -> None:
        """Take no more records, and poll (to stay in the group) until running tasks have ended."""
        self._dispatcher.stopped = True
        self._dispatcher.drop(list(self._owned.values()))
        while self._dispatcher.running and time.monotonic() < self._drain_end():
            self._step(BUSY_POLL_S)

    def _leave(self) -> None:
        """Commit for the last time and leave the group. Tasks that still run are interrupted: not their fault."""
        self._barrier_s = 0.0  # close() revokes the partitions; tasks that still run have used up the drain.
        try:
            self._settle()
            self._dispatcher.drop(list(self._owned.values()))
            self._dispatcher.interrupt(list(self._owned.values()), self._task_limit_s)
            self._commits.commit(self._owned.values())
        except KafkaException as e:
            # The reason why the service ends must stay visible; what is not committed is delivered again.
            log.warning("last_commit_failed", error=e.args[0].name(), text=e.args[0].str())
        finally:
            self._crashes.close()
            self._consumer.close()

    def _on_event(self, message: Any) -> None:
        """Handle the end of a partition or an error. At the end the position is committed, which is past control
        records."""
        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            owned = self._owned.get((message.topic(), message.partition()))
            if owned is not None:
                owned.reached(message.offset())
                self._commits.due_in(COMMIT_IDLE_S)
            return
        if ends_membership(error):
            raise membership_ended(error)
        log.warning("kafka_error", error=error.name(), text=error.str())
