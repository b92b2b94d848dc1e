"""The parent's side of a slot: one worker process and one pipe.

The worker is started as a separate program, not by ``multiprocessing``, which would import the service's main module in
the worker and pass it an environment with credentials.
"""

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import Pipe
from typing import Protocol

import structlog
from pydantic import ValidationError

from shared.runtime.execute.budget import Budget
from shared.runtime.execute.worker_output import WorkerOutput
from shared.runtime.failures import HandlerUnavailable, OverBudget, WorkerDied
from shared.slot import records
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
SECRET_PREFIXES = ("AWS_", "KAFKA_", "OTEL_", "LIPSTAGE_CACHE_KEY", "LIPSTAGE_HASH_KEY", "LIPSTAGE_FAULTS")
"""Variables that are never in the worker's environment: it opens hostile media and needs none of them."""

log = structlog.get_logger()

OnRecord = Callable[[records.FromWorker], None]


def worker_environment(environment: Mapping[str, str], engine: str) -> dict[str, str]:
    """The worker's environment: no credentials; one BLAS thread, because spinning BLAS threads compete with those of
    ONNX Runtime; no telemetry of ONNX Runtime, which writes a device id to the home folder."""
    inherited = {k: v for k, v in environment.items() if not k.startswith(SECRET_PREFIXES)}
    added = {"LIPSTAGE_ENGINE": engine, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return {**inherited, **added, "ORT_DISABLE_TELEMETRY": "true"}


class Worker(Protocol):
    """Processes tasks in a slot, in a separate process that may die."""

    @property
    def pid(self) -> int | None:
        """Process id; None when the worker does not run."""

    def start(self, variables: Mapping[str, str] | None = None) -> float:
        """Start the worker and wait until its handler is loaded; returns the loading time in seconds.

        ``variables`` are added to its environment; None keeps those of the last start. Raises WorkerDied,
        HandlerUnavailable.
        """

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
    """One worker process. Call ``start``, ``run`` and ``stop`` in the slot's thread only: the kernel kills the worker
    when that thread ends."""

    def __init__(self, spec: StageSpec, engine: str, on_log: Callable[[records.Log], None] = lambda _: None) -> None:
        """``on_log`` receives the handler's log lines while it loads."""
        self._spec = spec
        self._on_log = on_log
        self._engine = engine
        self._process: subprocess.Popen[bytes] | None = None
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
        command = [sys.executable, "-P", "-m", "shared.slot.worker", "--pipe", str(worker_end.fileno())]
        command += ["--parent", str(os.getpid()), "--handler", self._spec.handler]
        command += ["--memory-mb", str(self._spec.memory_mb or 0), "--file-mb", str(self._spec.file_mb)]
        environment = worker_environment({**os.environ, **self._variables}, self._engine)
        self._process = subprocess.Popen(
            command,
            pass_fds=[worker_end.fileno()],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._process.stdout is not None
        self._output = WorkerOutput(self._process.stdout)
        worker_end.close()
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
        return message.load_seconds

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
        exception propagates. Once ``cancelled()`` is True, the worker is told to stop; it is killed when it has not
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
        except BaseException:
            self.kill()
            raise
        finally:
            self._output.end_task()
            budget.report()

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

    def kill(self) -> None:
        """Kill the worker; any thread."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End the worker: an idle one exits when its pipe is closed; one that does not exit is killed."""
        if self._process is None:
            return
        self._pipe.close()
        try:
            self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None
