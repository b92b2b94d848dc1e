"""The slots of a service: a thread and a worker each."""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from queue import Empty, SimpleQueue

import structlog

from shared.runtime.record import PartitionAssignment, Record
from shared.runtime.waiting import Abandoned
from shared.runtime.watched_thread import EndsService, WatchedThread
from shared.runtime.worker_process import HandlerUnavailable, WorkerDied, WorkerProcess
from shared.runtime.worker_telemetry import log_record
from shared.slot.spec import StageSpec
from shared.telemetry import metrics

log = structlog.get_logger()

IDLE_LOOK_S = 0.5
"""How often an idle slot looks whether its worker still lives."""
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0
"""Between two tries to load a handler whose needs are not met; each pause is twice the one before."""

Settle = Callable[[Record, PartitionAssignment, WorkerProcess], None]
Said = Callable[[Record, PartitionAssignment], None]


class Slots:
    """A fixed number of slots with one queue. The consumer loop never feeds more records than there are slots."""

    def __init__(
        self,
        spec: StageSpec,
        engine: str,
        count: int,
        settle: Settle,
        fatal: Callable[[str], None],
        fetch: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        """``fetch`` is called before the first load of each worker and returns variables of its environment; it may
        raise HandlerUnavailable.

        ``fatal`` gets the reason when a slot has ended, which the service should do then, too.
        """
        self._spec = spec
        self._settle = settle
        self._fetch = fetch
        self._worker_variables: Mapping[str, str] = {}
        self._fetch_stall = threading.Lock()
        self._closing = threading.Event()
        self._queue: SimpleQueue[tuple[Record, PartitionAssignment] | None] = SimpleQueue()
        self._workers = [WorkerProcess(spec, engine, log_record) for _ in range(count)]
        self._ready = [threading.Event() for _ in range(count)]
        self._threads = [
            WatchedThread(f"slot-{n}", partial(self._work, worker, ready), fatal, self._closing)
            for n, (worker, ready) in enumerate(zip(self._workers, self._ready, strict=True))
        ]
        self.on_done: Said = lambda _record, _assignment: None
        self.on_abandoned: Said = lambda _record, _assignment: None
        self._since: dict[str, float] = {}
        self.unavailable: str | None = None
        """What the handler says it lacks, while it can't be loaded."""

    def start(self) -> None:
        """Start every worker; they load in parallel."""
        for thread in self._threads:
            thread.start()

    def feed(self, record: Record, assignment: PartitionAssignment) -> None:
        """Give a record to the next free slot."""
        self._queue.put((record, assignment))

    @property
    def ready(self) -> bool:
        """Whether every worker has loaded its handler."""
        return all(event.is_set() for event in self._ready)

    @property
    def longest_s(self) -> float:
        """How long the oldest of the running tasks has been in its slot, seconds; 0 when none runs."""
        return time.monotonic() - min(self._since.copy().values(), default=time.monotonic())

    def extend(self, seconds: float) -> None:
        """The calling slot's task has waited for the machine so long: that is not its own time."""
        self._since[threading.current_thread().name] += seconds

    def close(self) -> None:
        """End the idle slots; one that still works is killed with its worker."""
        self._closing.set()
        for _ in self._threads:
            self._queue.put(None)
        for thread, worker in zip(self._threads, self._workers, strict=True):
            thread.join(timeout=3.0)
            if thread.is_alive():
                worker.kill()

    def _work(self, worker: WorkerProcess, ready: threading.Event) -> None:
        """The slot's thread: it starts the worker, for the kernel ends the worker with the thread that started it."""
        slot = threading.current_thread().name
        try:
            self._load_when_possible(worker, ready)
            while (item := self._next(worker, ready)) is not None:
                record, assignment = item
                metrics.SLOTS_BUSY.labels(self._spec.name).inc()
                self._since[slot] = time.monotonic()
                try:
                    self._revive(worker, ready)
                    self._settle(record, assignment, worker)
                except Abandoned as e:
                    self.on_abandoned(record, assignment)
                    log.info("task_abandoned", reason=str(e))
                    continue
                except BaseException:
                    log.warning("record_not_settled", topic=record.topic, partition=record.partition, at=record.offset)
                    self.on_abandoned(record, assignment)
                    raise
                finally:
                    del self._since[slot]
                    metrics.SLOTS_BUSY.labels(self._spec.name).dec()
                self.on_done(record, assignment)
            worker.stop()
        except (WorkerDied, HandlerUnavailable) as e:
            raise EndsService(f"the handler can't be loaded: {e}") from e

    def _load_when_possible(self, worker: WorkerProcess, ready: threading.Event) -> None:
        """The first load. Until it succeeds the service takes no work, so nothing is lost by waiting.

        A worker that had loaded and then can't be replaced ends the service instead: it holds partitions.
        """
        pause = FIRST_PAUSE_S
        while not self._closing.is_set():
            try:
                if self._fetch is not None:
                    with self._fetch_stall:
                        self._worker_variables = self._fetch()
                self._load(worker, ready)
            except HandlerUnavailable as e:
                self.unavailable = str(e)
                log.warning("handler_unavailable", reason=str(e), again_in_s=pause)
                self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                self.unavailable = None
                return

    def _load(self, worker: WorkerProcess, ready: threading.Event) -> None:
        metrics.WORKER_PROCESS_STARTS.labels(self._spec.name).inc()
        log.info("handler_loaded", seconds=round(worker.start(self._worker_variables), 3), pid=worker.pid)
        ready.set()

    def _next(self, worker: WorkerProcess, ready: threading.Event) -> tuple[Record, PartitionAssignment] | None:
        """The next record, or None at the end; until then the worker is kept alive."""
        while True:
            try:
                return self._queue.get(timeout=IDLE_LOOK_S)
            except Empty:
                if not self._closing.is_set():
                    self._revive(worker, ready)

    def _revive(self, worker: WorkerProcess, ready: threading.Event) -> None:
        """Replace a worker that died while idle, before a task has to wait for its model; no attempt is spent on it."""
        if worker.pid is None:
            ready.clear()
            log.warning("idle_worker_died")
            self._load(worker, ready)
