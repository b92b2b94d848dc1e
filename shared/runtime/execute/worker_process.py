"""The parent's side of a slot: one worker process and one pipe.

The worker is started as a separate program, not by ``multiprocessing``, which would import the service's main module in
the worker and pass it an environment with credentials.
"""

import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import Pipe
from pathlib import Path
from typing import Protocol

import structlog
from pydantic import ValidationError

from shared.runtime.execute.budget import Budget
from shared.runtime.execute.bytecode import compile_stage
from shared.runtime.execute.scratch import WorkerFolder
from shared.runtime.execute.worker_environment import worker_environment
from shared.runtime.execute.worker_launch import Launch, Process, start_program
from shared.runtime.execute.worker_output import WorkerOutput
from shared.runtime.failures import HandlerUnavailable, OverBudget, WorkerDied
from shared.runtime.settings_variables import load_model, variables_of
from shared.slot import records
from shared.slot.confinement.confine import Mode
from shared.slot.spec import StageSpec

LOAD_TIMEOUT_S = 600.0
"""Limit for loading a handler, seconds: a diffusion model takes minutes from a cold disk."""
POLL_S = 0.1
"""How often a running worker is checked for cancellation, seconds."""
CANCEL_GRACE_S = 10.0
"""A worker that has not stopped so long after it was told to is killed, seconds. Handlers check every second or two; a
kill costs the loaded model."""
OUTPUT_S = 1.0
"""Time to read the last output of a worker that has died, seconds."""
ACCELERATORS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Device nodes of NVIDIA's and AMD's drivers, and of WSL's."""

log = structlog.get_logger()

OnRecord = Callable[[records.FromWorker], None]


class Worker(Protocol):
    """Processes tasks in a slot, in a separate process that may die."""

    @property
    def pid(self) -> int | None:
        """Process id; None when the worker does not run."""

    @property
    def folder(self) -> WorkerFolder | None:
        """Where the files of its tasks must be; None: anywhere."""

    def start(self, variables: Mapping[str, str] | None = None) -> float:
        """Start the worker and wait until its handler is loaded; returns the loading time in seconds.

        ``variables`` are added to its environment; None keeps those of the last start. Raises WorkerDied,
        HandlerUnavailable.
        """

    def prepare(self, tenant: str) -> None:
        """Have a worker that may run a task of ``tenant``. Raises WorkerDied, HandlerUnavailable."""

    def send(self, message: records.ToWorker) -> None:
        """Send a record to the worker; any thread."""

    def run(
        self, work: records.Work, on_record: OnRecord, cancelled: Callable[[], bool], deadline_s: float
    ) -> records.WorkResult:
        """Process one task in the worker; CancelledTask soon after ``cancelled()``. Raises WorkerDied."""

    def stop(self) -> None:
        """End an idle worker in order."""

    def kill(self) -> None:
        """Kill the worker; any thread."""


class WorkerProcess:
    """One worker process. Used by one thread at a time. Call ``start`` in a thread that lives as long as the process is
    needed: the kernel kills it when that thread ends."""

    def __init__(
        self,
        spec: StageSpec,
        engine: str,
        on_log: Callable[[records.Log], None] = lambda _: None,
        scratch: Path | None = None,
        confinement: Mode = "auto",
        on_start: Callable[[tuple[str, ...]], None] = lambda _: None,
        launch: Launch = start_program,
    ) -> None:
        """``on_log`` receives the handler's log lines while it loads. The worker's folder is in ``scratch``, by default
        in the system's temporary folder. ``confinement`` is LIPSTAGE_CONFINEMENT; ``on_start`` receives what a started
        process lacks of it; ``launch`` starts the process."""
        self._spec = spec
        self._scratch = scratch
        self._confinement = confinement
        self._on_start = on_start
        self.folder: WorkerFolder | None = None
        self._launch = launch
        self._on_log = on_log
        self._engine = engine
        self._process: Process | None = None
        self._writing = threading.Lock()
        self._overdue = False
        self._variables: Mapping[str, str] = {}

    @property
    def pid(self) -> int | None:
        """Process id; None when the worker does not run."""
        process = self._process  # Scrapes read this in another thread.
        return process.pid if process is not None and process.poll() is None else None

    def start(self, variables: Mapping[str, str] | None = None) -> float:
        """Start the worker and wait until its handler is loaded; returns the loading time in seconds.

        ``variables`` are added to the worker's environment; None keeps those of the last start. Raises WorkerDied,
        HandlerUnavailable.
        """
        self.stop()
        self._variables = self._variables if variables is None else variables
        self._pipe, worker_end = Pipe(duplex=True)
        compile_stage(self._spec.handler)
        with worker_end:
            try:
                folder = self.folder = WorkerFolder.make(self._scratch)
            except OSError as e:
                raise WorkerDied(f"no folder can be made for the worker: {e.strerror}") from e
            pipe = worker_end.fileno()
            self._process = self._launch(self._arguments(pipe, folder.path), self._environment(folder.work), pipe)
        assert self._process.stdout is not None
        self._output = WorkerOutput(self._process.stdout)
        budget = Budget()
        with self._deadline(LOAD_TIMEOUT_S):
            while (message := self._receive(budget)) is None or isinstance(message, records.Log):
                if message is not None:
                    self._on_log(message)
        if isinstance(message, records.NotLoaded):
            self.stop()
            raise HandlerUnavailable(message.reason)
        if not isinstance(message, records.Ready):
            raise self._death("the worker sent another record before it was ready")
        self._output.end_task()
        self._on_start(message.unconfined)
        return message.load_seconds

    def prepare(self, tenant: str) -> None:  # noqa: ARG002 - it runs the tasks of all tenants
        """Start the worker, if it does not run. Raises WorkerDied, HandlerUnavailable."""
        if self.pid is None:
            self.start()

    def _arguments(self, pipe: int, folder: Path) -> list[str]:
        spec = self._spec
        arguments = ["--pipe", str(pipe), "--parent", str(os.getpid()), "--handler", spec.handler]
        arguments += ["--memory-mb", str(spec.memory_mb or 0), "--file-mb", str(spec.file_mb)]
        arguments += ["--folder", str(folder), "--confinement", self._confinement]
        arguments += ["--accelerator"] if self._has_accelerator else []
        variables = {**os.environ, **self._variables}
        for path in filter(None, map(variables.get, spec.reads)):
            arguments += ["--read", path]
        return arguments

    def _environment(self, folder: Path) -> dict[str, str]:
        settings = [] if self._spec.settings is None else variables_of(load_model(self._spec.settings))
        own = None if self._has_accelerator else folder  # Kernels that were compiled once are kept.
        names = (*settings, *self._spec.variables, *self._variables)
        return worker_environment({**os.environ, **self._variables}, self._engine, names, own)

    @property
    def _has_accelerator(self) -> bool:
        return self._spec.accelerator and any(map(os.path.exists, ACCELERATORS))

    def send(self, message: records.ToWorker) -> None:
        """Send a record to the worker; any thread. ``run`` notices a worker that has died."""
        with self._writing:
            try:
                self._pipe.send_bytes(message.model_dump_json().encode())
            except OSError:
                return

    def run(
        self, work: records.Work, on_record: OnRecord, cancelled: Callable[[], bool], deadline_s: float
    ) -> records.WorkResult:
        """Process one task in the worker, within ``deadline_s`` seconds; returns its result. Raises WorkerDied.

        ``on_record`` receives every record but the result, in this thread; when it raises, the worker is killed and the
        exception propagates. Once ``cancelled()`` is True, the worker is asked to stop; it is killed when it has not
        stopped within ``CANCEL_GRACE_S``, which counts as no death. The budgets of an attempt apply: records over a
        soft budget are dropped, a worker over a hard budget is killed.
        """
        killed_at, budget = math.inf, Budget()
        self._output.begin_task()
        try:
            with self._deadline(deadline_s):
                self.send(work)
                while True:
                    now = time.monotonic()
                    if killed_at == math.inf and cancelled():
                        killed_at = now + CANCEL_GRACE_S
                        self.send(records.Cancel())
                    if now >= killed_at:
                        log.warning("worker_killed", reason="it did not stop", grace_s=CANCEL_GRACE_S)
                        self.kill()
                        return records.CancelledTask()
                    message = self._receive(budget)
                    if isinstance(message, records.WorkResult):
                        return message
                    if message is not None:
                        on_record(message)
        except WorkerDied:
            self.kill()
            refusal = self._too_costly()
            if refusal is None:
                raise
            return refusal
        except BaseException:
            self.kill()
            raise
        finally:
            self._output.end_task()
            budget.report()

    def _too_costly(self) -> records.Refused | None:
        """The refusal of the file on which the worker used up its CPU time; None for any other death."""
        refusal = self._spec.too_costly
        if refusal is None or self._process is None or self._process.returncode != -signal.SIGXCPU:
            return None
        log.warning("worker_ended", reason="its decoder used up its CPU time")
        return records.Refused(code=refusal.code, message=refusal.message, field=refusal.field, allowed=refusal.allowed)

    @contextmanager
    def _deadline(self, seconds: float) -> Iterator[None]:
        """Kill the worker after ``seconds``, from another thread: a worker that sends half a record, or reads nothing,
        blocks this one."""
        self._overdue = False

        def end() -> None:
            self._overdue = True
            self.kill()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _receive(self, budget: Budget) -> records.FromWorker | None:
        """The next record; None when none arrives within ``POLL_S``, or it is dropped. Raises WorkerDied."""
        try:
            if not self._pipe.poll(POLL_S):
                return None
            data = self._pipe.recv_bytes(records.MAX_RECORD_BYTES)
            budget.read(len(data))
            record = records.FROM_WORKER.validate_json(data)
            return record if budget.admits(record, len(data)) else None
        except OverBudget as e:
            raise self._death(str(e)) from e
        except (EOFError, OSError):
            reason = "the worker died, or sent a record that is too large"
            if self._overdue:
                reason = "the worker did not answer before its deadline"
            raise self._death(reason) from None
        except ValidationError as e:
            raise self._death("the worker sent a record that can't be read") from e

    def _death(self, reason: str) -> WorkerDied:
        self.kill()
        self._output.finish(OUTPUT_S)
        code = self._process.returncode if self._process is not None else None
        return WorkerDied(f"{reason} (exit status {code})")

    def kill(self, *, wait: bool = True) -> None:
        """Kill the worker; any thread. Without ``wait`` it runs no more, but may still hold its memory."""
        process = self._process
        if process is not None:
            process.kill()
            if wait:
                process.wait()

    def stop(self) -> None:
        """End the worker: an idle one exits when its pipe is closed; one that does not exit is killed."""
        if self._process is not None:
            self._pipe.close()
            try:
                self._process.wait(timeout=2.0)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None
        if self.folder is not None:
            self.folder.remove()
            self.folder = None
