"""The slots of a service: one thread and one worker process each."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

import structlog

from shared.runtime.consume.assignment import Completion, Completions, PartitionAssignment, Record
from shared.runtime.execute.early_attempt import EarlyAttempt
from shared.runtime.execute.worker_process import Worker
from shared.runtime.failures import SERVICE_FAULTS, Abandoned, EndsService, HandlerUnavailable, WorkerDied
from shared.runtime.waiting import clear_current_job
from shared.runtime.watched_thread import WatchedThread
from shared.telemetry import metrics, process_usage

log = structlog.get_logger()

NOT_ITS_FAULT = (*SERVICE_FAULTS, WorkerDied, HandlerUnavailable)
"""Exceptions that end the slot and that no record causes for ever."""
IDLE_CHECK_S = 0.5
"""How often an idle slot checks that its worker is alive, seconds."""
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0
"""Longest pause between two attempts to load an unavailable handler, seconds; each pause is twice the previous one."""


class Handle(Protocol):
    """Processes one record in a slot's thread; on return the record is settled."""

    def __call__(
        self, record: Record, assignment: PartitionAssignment, worker: Worker, early: EarlyAttempt | None, /
    ) -> None: ...


def _memory_bytes(worker: Worker) -> float:
    return process_usage.memory_bytes(worker.pid)


class SlotClock:
    """Measures how long each slot has been busy with its task, without waits for disk space. Thread-safe."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def start(self) -> None:
        """The calling slot starts a task."""
        self._since[threading.current_thread().name] = time.monotonic()

    def stop(self) -> None:
        """The calling slot is free."""
        del self._since[threading.current_thread().name]

    def extend(self, seconds: float) -> None:
        """Exclude ``seconds``, which the calling slot's task has waited for disk space."""
        slot = threading.current_thread().name
        if slot in self._since:
            self._since[slot] += seconds

    @property
    def longest_s(self) -> float:
        """Time that the longest running task has spent in its slot, seconds; 0 when none runs."""
        return time.monotonic() - min(self._since.copy().values(), default=time.monotonic())


@dataclass(slots=True)
class _Slot:
    """One worker, and what it has to do."""

    worker: Worker
    ready: threading.Event = field(default_factory=threading.Event)
    """The worker has loaded its handler."""
    inbox: SimpleQueue[tuple[Record, PartitionAssignment] | None] = field(default_factory=SimpleQueue)
    records: int = 0
    """Records that it has: one, as the consumer loop waits for the completion before it submits another."""
    early: EarlyAttempt | None = None
    """An attempt without a task that uses the worker; a record in the inbox has precedence."""

    @property
    def is_early(self) -> bool:
        """Whether the worker is in use without a task."""
        return self.early is not None and not self.early.ended


class WorkerSlots:
    """A fixed number of slots. The consumer loop never submits more records than there are slots."""

    def __init__(
        self,
        stage: str,
        workers: Sequence[Worker],
        handle: Handle,
        completions: Completions,
        clock: SlotClock,
        fatal: Callable[[str], None],
        fetch: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        """Make a slot for each of ``workers``.

        ``fetch`` is called before the first load of each worker and returns variables of its environment; it may raise
        HandlerUnavailable, and is called again before the next attempt to load.

        ``fatal`` receives the reason when a slot has ended; the service must then end, too.
        """
        self.count = len(workers)
        self._stage = stage
        self._handle = handle
        self._completions = completions
        self._clock = clock
        self._fetch = fetch
        self._fetching = threading.Lock()
        self._closing = threading.Event()
        self._slots = [_Slot(worker) for worker in workers]
        self._choosing = threading.Lock()
        """Held while a slot gets a record or an early attempt."""
        self._threads = [
            WatchedThread(f"slot-{n}", partial(self._work, slot), fatal, self._closing)
            for n, slot in enumerate(self._slots)
        ]
        metrics.SLOTS.labels(stage).set(self.count)
        metrics.SLOTS_BUSY.labels(stage)
        metrics.LONGEST_TASK.labels(stage).set_function(lambda: clock.longest_s)
        for n, worker in enumerate(workers):
            metrics.WORKER_MEMORY.labels(stage, str(n)).set_function(partial(_memory_bytes, worker))
        self.unavailable: str | None = None
        """The reason why the handler can't be loaded; None when it can."""

    def start(self) -> None:
        """Start every worker; they load in parallel."""
        for thread in self._threads:
            thread.start()

    def submit(self, record: Record, assignment: PartitionAssignment) -> None:
        """Give a record to a free slot; its completion is put into the queue.

        To the slot with the early attempt at its task; else to one without an early attempt, else the early attempt
        there is stopped.
        """
        with self._choosing:
            slot = min(
                self._slots,
                key=lambda slot: (
                    slot.records,
                    slot.early is None or not slot.early.is_of(record),
                    slot.is_early,
                    not slot.ready.is_set(),
                ),
            )
            slot.records += 1
        slot.inbox.put((record, assignment))

    def start_early(self, make: Callable[[Worker], EarlyAttempt]) -> EarlyAttempt | None:
        """Start the attempt that ``make`` returns in a slot that has nothing to do; None when there is none."""
        with self._choosing:
            for slot in self._slots:
                idle = not slot.records and not slot.is_early and slot.ready.is_set() and slot.worker.pid is not None
                if idle and not self._closing.is_set():
                    early = make(slot.worker)
                    early.start()  # May raise: then the slot has no attempt whose end it would wait for.
                    slot.early = early
                    return early
        return None

    @property
    def ready(self) -> bool:
        """Whether every worker has loaded its handler."""
        return all(slot.ready.is_set() for slot in self._slots)

    def close(self) -> None:
        """End the idle slots; kill the workers of busy ones."""
        with self._choosing:
            self._closing.set()
        for slot in self._slots:
            slot.inbox.put(None)
        for thread, slot in zip(self._threads, self._slots, strict=True):
            thread.join(timeout=3.0)
            if thread.is_alive():
                slot.worker.kill()

    def _work(self, slot: _Slot) -> None:
        """The body of the slot's thread."""
        try:
            self._load_when_possible(slot)
            while (item := self._next(slot)) is not None:
                self._process(*item, slot)
            if slot.early is not None:
                slot.early.stop("stopping")
            slot.worker.stop()
        except (WorkerDied, HandlerUnavailable) as e:
            raise EndsService(f"the handler can't be loaded: {e}") from e

    def _process(self, record: Record, assignment: PartitionAssignment, slot: _Slot) -> None:
        settled = False
        metrics.SLOTS_BUSY.labels(self._stage).inc()
        self._clock.start()
        try:
            early = self._early_of(record, slot)
            if early is None:
                self._revive(slot)
            self._handle(record, assignment, slot.worker, early)
            settled = True
        except Abandoned as e:
            log.info("task_abandoned", reason=str(e))
            clear_current_job()
        except BaseException as e:
            log.warning("record_not_settled", topic=record.topic, partition=record.partition, offset=record.offset)
            if not isinstance(e, NOT_ITS_FAULT):
                # A bug that this record meets: it would end the next service, too. The count ends that.
                assignment.count_crash(record.offset)
            raise
        finally:
            if slot.early is not None:
                slot.early.stop("not_used")
                slot.early = None
            self._clock.stop()
            metrics.SLOTS_BUSY.labels(self._stage).dec()
            with self._choosing:
                slot.records -= 1
            self._completions.put(Completion(record, assignment, settled))

    def _early_of(self, record: Record, slot: _Slot) -> EarlyAttempt | None:
        """The early attempt that uses the worker and may be the record's task's; any other is stopped."""
        early = slot.early
        if early is not None and (early.ended or not early.is_of(record)):
            early.stop("preempted")
            slot.early = early = None
        return early

    def _load_when_possible(self, slot: _Slot) -> None:
        """Load the handler for the first time, retrying while it is unavailable. Waiting is safe: the service takes no
        records before.

        If a worker can't be replaced later, the service ends instead, because it holds partitions.
        """
        pause = FIRST_PAUSE_S
        while not self._closing.is_set():
            try:
                variables = None
                if self._fetch is not None:
                    with self._fetching:
                        variables = self._fetch()
                self._load(slot, variables)
            except HandlerUnavailable as e:
                self.unavailable = str(e)
                log.warning("handler_unavailable", reason=str(e), retry_in_s=pause)
                self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                self.unavailable = None
                return

    def _load(self, slot: _Slot, variables: Mapping[str, str] | None = None) -> None:
        log.info("handler_loaded", seconds=round(slot.worker.start(variables), 3), pid=slot.worker.pid)
        slot.ready.set()

    def _next(self, slot: _Slot) -> tuple[Record, PartitionAssignment] | None:
        """The next record; None at shutdown. Replaces a worker that dies meanwhile."""
        while True:
            try:
                return slot.inbox.get(timeout=IDLE_CHECK_S)
            except Empty:
                if not self._closing.is_set():
                    self._revive(slot)

    def _revive(self, slot: _Slot) -> None:
        """Replace a worker that died while idle, before a task has to wait for its model; this counts as no attempt."""
        with self._choosing:  # An early attempt must not get a worker that is being replaced.
            dead = slot.worker.pid is None and not slot.is_early
            if dead:
                slot.ready.clear()
        if dead:
            log.warning("idle_worker_died")
            self._load(slot)
