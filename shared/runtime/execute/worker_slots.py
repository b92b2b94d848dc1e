"""The slots of a service: one thread and one worker process each."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

import structlog

from shared.runtime.consume.assignment import Completion, Completions, PartitionAssignment, Record
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

    def __call__(self, record: Record, assignment: PartitionAssignment, worker: Worker, /) -> None: ...


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


class WorkerSlots:
    """A fixed number of slots with one queue. The consumer loop never submits more records than there are slots."""

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
        self._queue: SimpleQueue[tuple[Record, PartitionAssignment] | None] = SimpleQueue()
        self._workers = workers
        self._ready = [threading.Event() for _ in workers]
        self._threads = [
            WatchedThread(f"slot-{n}", partial(self._work, worker, ready), fatal, self._closing)
            for n, (worker, ready) in enumerate(zip(workers, self._ready, strict=True))
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
        """Give a record to the next free slot; its completion is put into the queue."""
        self._queue.put((record, assignment))

    @property
    def ready(self) -> bool:
        """Whether every worker has loaded its handler."""
        return all(event.is_set() for event in self._ready)

    def close(self) -> None:
        """End the idle slots; kill the workers of busy ones."""
        self._closing.set()
        for _ in self._threads:
            self._queue.put(None)
        for thread, worker in zip(self._threads, self._workers, strict=True):
            thread.join(timeout=3.0)
            if thread.is_alive():
                worker.kill()

    def _work(self, worker: Worker, ready: threading.Event) -> None:
        """The body of the slot's thread. It starts the worker itself: the kernel kills a worker with the thread that
        started it."""
        try:
            self._load_when_possible(worker, ready)
            while (item := self._next(worker, ready)) is not None:
                self._process(*item, worker, ready)
            worker.stop()
        except (WorkerDied, HandlerUnavailable) as e:
            raise EndsService(f"the handler can't be loaded: {e}") from e

    def _process(self, record: Record, assignment: PartitionAssignment, worker: Worker, ready: threading.Event) -> None:
        settled = False
        metrics.SLOTS_BUSY.labels(self._stage).inc()
        self._clock.start()
        try:
            self._revive(worker, ready)
            self._handle(record, assignment, worker)
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
            self._clock.stop()
            metrics.SLOTS_BUSY.labels(self._stage).dec()
            self._completions.put(Completion(record, assignment, settled))

    def _load_when_possible(self, worker: Worker, ready: threading.Event) -> None:
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
                self._load(worker, ready, variables)
            except HandlerUnavailable as e:
                self.unavailable = str(e)
                log.warning("handler_unavailable", reason=str(e), retry_in_s=pause)
                self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                self.unavailable = None
                return

    def _load(self, worker: Worker, ready: threading.Event, variables: Mapping[str, str] | None = None) -> None:
        metrics.WORKER_PROCESS_STARTS.labels(self._stage).inc()
        log.info("handler_loaded", seconds=round(worker.start(variables), 3), pid=worker.pid)
        ready.set()

    def _next(self, worker: Worker, ready: threading.Event) -> tuple[Record, PartitionAssignment] | None:
        """The next record; None at shutdown. Replaces a worker that dies meanwhile."""
        while True:
            try:
                return self._queue.get(timeout=IDLE_CHECK_S)
            except Empty:
                if not self._closing.is_set():
                    self._revive(worker, ready)

    def _revive(self, worker: Worker, ready: threading.Event) -> None:
        """Replace a worker that died while idle, before a task has to wait for its model; this counts as no attempt."""
        if worker.pid is None:
            ready.clear()
            log.warning("idle_worker_died")
            self._load(worker, ready)
