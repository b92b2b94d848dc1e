"""The worker of a slot: the process that runs the tasks, and the spare that takes over when the next task may not run
in it. So a process that one tenant's media has taken over never sees another tenant's."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Literal, Protocol

import structlog

from shared.runtime.execute.scratch import WorkerFolder
from shared.runtime.execute.worker_launch import Launch, Process, start_program
from shared.runtime.execute.worker_process import LOAD_TIMEOUT_S, OnRecord, WorkerProcess
from shared.runtime.execute.worker_template import WorkerTemplate
from shared.runtime.failures import HandlerUnavailable, WorkerDied
from shared.slot import records
from shared.telemetry import metrics

Reuse = Literal["tenant", "never", "always"]
"""For which tasks a process is used again: those of its first task's tenant, none, all."""
Reason = Literal["first", "died", "tenant", "task", "spare"]
"""Why a process is started: no process yet, after a death, for another tenant or task without a spare, as the spare."""

log = structlog.get_logger()


class MakeWorker(Protocol):
    """Makes worker processes, as ``partial(WorkerProcess, spec, ...)``."""

    def __call__(self, *, launch: Launch) -> WorkerProcess:
        """A worker process that is not started, and will be with ``launch``."""


class SlotWorker:
    """Runs the tasks of one slot in worker processes that follow one another.

    Used by one thread at a time, the slot's or that of an early attempt; ``send`` and ``kill`` by any. Processes are
    started by a thread of its own, because the kernel kills a worker when the thread that started it ends.
    """

    def __init__(self, stage: str, handler: str, make: MakeWorker, reuse: Reuse = "tenant") -> None:
        """``handler`` is the stage's module; ``make`` makes its worker processes."""
        self._stage = stage
        self._make = make
        self._reuse = reuse
        self._variables: Mapping[str, str] = {}
        self._current: WorkerProcess | None = None
        self._tenant: str | None = None
        """Of the tasks that the current process has run; None before its first."""
        self._reason: Reason = "first"
        """Of the next start that no change of task or tenant is the reason for."""
        self._several = reuse == "never"
        """Whether processes change, so that a template and a spare pay."""
        self._spare: Future[WorkerProcess] | None = None
        self._template = WorkerTemplate(handler, LOAD_TIMEOUT_S)
        self._starting: WorkerProcess | None = None
        self._killed = threading.Event()
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._starter, name="worker-starter", daemon=True).start()

    @property
    def pid(self) -> int | None:
        """Process id of the process that runs tasks; None when there is none."""
        current = self._current
        return current.pid if current is not None else None

    @property
    def folder(self) -> WorkerFolder | None:
        """Where the files of the process that runs tasks must be; None when there is none."""
        current = self._current
        return current.folder if current is not None else None

    def start(self, variables: Mapping[str, str] | None = None) -> float:
        """Have a new process, the first or one in the place of a process that has died; returns the seconds until its
        handler is loaded. ``variables`` are added to its environment; None keeps those of the last start. Raises
        WorkerDied, HandlerUnavailable.
        """
        if variables is not None and variables != self._variables:
            self._variables = variables
            self._template.kill()  # It has loaded the handler with the others.
        start = time.monotonic()
        self._replace(self._reason)
        return time.monotonic() - start

    def prepare(self, tenant: str) -> None:
        """Have a process that may run a task of ``tenant``. On return a process that may not is dead, so the task's
        files can be fetched. Raises WorkerDied, HandlerUnavailable."""
        if self.pid is None:
            self._replace(self._reason)
        elif (reason := self._change(tenant)) is not None:
            self._several = True
            self._replace(reason)

    def _change(self, tenant: str) -> Reason | None:
        """Why the current process may run no task of ``tenant``; None when it may."""
        if self._tenant is None or self._reuse == "always":
            return None
        if self._reuse == "never":
            return "task"
        return "tenant" if self._tenant != tenant else None

    def send(self, message: records.ToWorker) -> None:
        """Send a record to the process; any thread."""
        if (current := self._current) is not None:
            current.send(message)

    def run(
        self, work: records.Work, on_record: OnRecord, cancelled: Callable[[], bool], deadline_s: float
    ) -> records.WorkResult:
        """Process one task, in a process that may; see `WorkerProcess.run`. Raises WorkerDied, also when the process
        has died since ``prepare``: the files of the task are in its folder."""
        tenant = work.job.request.tenant
        if self._current is None or self._change(tenant) is not None:
            self.prepare(tenant)
        assert self._current is not None
        self._tenant = tenant
        if self._several and self._spare is None:
            self._spare = self._submit("spare")
        return self._current.run(work, on_record, cancelled, deadline_s)

    def stop(self) -> None:
        """End the processes in order; the worker can't be started again."""
        if self._current is not None:
            self._current.stop()
        self.kill()
        if (spare := self._ready_spare()) is not None:
            spare.stop()  # Its folder goes with it.
        self._calls.put(None)

    def kill(self) -> None:
        """Kill the processes, those that are being started, too; any thread. The worker can't be started again."""
        self._killed.set()
        self._template.kill()
        for process in (self._current, self._starting, self._ready_spare()):
            if process is not None:
                process.kill()

    def _ready_spare(self) -> WorkerProcess | None:
        """The spare, if it is started."""
        spare = self._spare
        return spare.result() if spare is not None and spare.done() and spare.exception() is None else None

    def _replace(self, reason: Reason) -> None:
        """Kill the current process; the spare takes over, or a new one that is started for ``reason``."""
        old, self._current, self._tenant = self._current, None, None
        if old is not None:
            old.kill(wait=False)  # It runs no more; the kernel frees its memory meanwhile.
            self._calls.put(old.stop)
        self._current = self._loaded_spare() or self._submit(reason).result()
        self._reason = "died"

    def _loaded_spare(self) -> WorkerProcess | None:
        """The spare, once it is loaded; None when there is none that lives."""
        spare, self._spare = self._spare, None
        if spare is None:
            return None
        try:
            process = spare.result()
        except (WorkerDied, HandlerUnavailable, OSError) as e:
            log.warning("spare_worker_unavailable", reason=str(e))
            return None
        if process.pid is None:
            log.warning("spare_worker_unavailable", reason="it has died")
            self._calls.put(process.stop)
            return None
        return process

    def _submit(self, reason: Reason) -> "Future[WorkerProcess]":
        """Start a process in the thread that may."""
        future: Future[WorkerProcess] = Future()

        def start() -> None:
            try:
                future.set_result(self._start(reason))
            except BaseException as e:  # noqa: BLE001 - whoever waits for the process raises it
                future.set_exception(e)

        self._calls.put(start)
        return future

    def _start(self, reason: Reason) -> WorkerProcess:
        metrics.WORKER_PROCESS_STARTS.labels(self._stage, reason).inc()
        self._starting = process = self._make(launch=self._launch)
        try:
            process.start(self._variables)
        except BaseException:
            process.stop()
            raise
        finally:
            self._starting = None
        return process

    def _launch(self, arguments: Sequence[str], environment: Mapping[str, str], pipe: int) -> Process:
        process = self._template.fork(arguments, environment, pipe) if self._several else None
        if process is None and not self._killed.is_set():
            process = start_program(arguments, environment, pipe)
        if process is None:
            raise WorkerDied("the slot has ended")
        if self._killed.is_set():
            process.kill()  # `kill` has not seen it.
        return process

    def _starter(self) -> None:
        """The body of the thread that starts processes. Those that it has started end with it."""
        while (call := self._calls.get()) is not None:
            try:
                call()
            except Exception:
                log.exception("worker_not_stopped")
