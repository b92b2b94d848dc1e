"""The parent's side of a slot: one worker process and one pipe.

The worker is started as a program of its own, not by ``multiprocessing``: that would import the service's main module
in the worker, and pass it an environment full of credentials.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import Pipe
from types import MappingProxyType

from pydantic import ValidationError

from shared.runtime.budget import Budget, OverBudget
from shared.slot import records
from shared.slot.spec import StageSpec

LOAD_TIMEOUT_S = 600.0
"""Loading a diffusion model from a cold disk takes minutes; hanging for ever must not pass."""
POLL_S = 0.1
"""How soon a cancel is passed on."""
SECRET_PREFIXES = ("AWS_", "KAFKA_", "OTEL_", "LIPSTAGE_CACHE_KEY")
"""Never in the worker's environment: it opens hostile media and needs none of it."""

OnRecord = Callable[[records.FromWorker], None]


class WorkerDied(Exception):
    """The worker ended, hung past its deadline or spoke nonsense; the task may be tried again."""


class HandlerUnavailable(Exception):
    """The worker says why it can't work here: what its handler needs is missing. Another try may find it."""


def worker_environment(environment: Mapping[str, str], engine: str) -> dict[str, str]:
    """The worker's environment: no credentials, one BLAS thread (spinning ones fight ONNX Runtime's), and no telemetry
    of ONNX Runtime's, which writes a device's id under the home folder."""
    kept = {k: v for k, v in environment.items() if not k.startswith(SECRET_PREFIXES)}
    ours = {"LIPSTAGE_ENGINE": engine, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return {**kept, **ours, "ORT_DISABLE_TELEMETRY": "true"}


class WorkerProcess:
    """One worker. ``start``, ``run``, ``stop`` belong to the slot's thread: the kernel ties the worker's life to it."""

    def __init__(self, spec: StageSpec, engine: str, on_log: Callable[[records.Log], None] = lambda _: None) -> None:
        """``on_log`` gets what the handler logs while it loads."""
        self._spec = spec
        self._on_log = on_log
        self._engine = engine
        self._process: subprocess.Popen[bytes] | None = None
        self._writing = threading.Lock()
        self._overdue = False

    @property
    def pid(self) -> int | None:
        """The worker's process id while it lives."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, variables: Mapping[str, str] = MappingProxyType({})) -> float:
        """Start the worker and wait until its handler is loaded; seconds that loading took.

        ``variables`` are added to the worker's environment.

        Raises WorkerDied, HandlerUnavailable.
        """
        self.stop()
        self._pipe, theirs = Pipe(duplex=True)
        command = [sys.executable, "-m", "shared.slot.worker", "--pipe", str(theirs.fileno())]
        command += ["--parent", str(os.getpid()), "--handler", self._spec.handler]
        command += ["--memory-mb", str(self._spec.memory_mb or 0), "--file-mb", str(self._spec.file_mb)]
        environment = worker_environment({**os.environ, **variables}, self._engine)
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)
        theirs.close()
        budget = Budget()
        with self._deadline(LOAD_TIMEOUT_S):
            while (message := self._receive(budget)) is None or isinstance(message, records.Log):
                if message is not None:
                    self._on_log(message)
        if isinstance(message, records.NotLoaded):
            self.stop()
            raise HandlerUnavailable(message.reason)
        if not isinstance(message, records.Ready):
            raise self._death("the worker spoke before it was ready")
        return message.load_seconds

    def send(self, message: records.ChunkUploaded | records.ChunkReady | records.Cancel | records.Work) -> None:
        """Tell the worker something; any thread. A worker that has died is noticed by ``run``."""
        with self._writing:
            try:
                self._pipe.send_bytes(message.model_dump_json().encode())
            except OSError:
                return

    def run(
        self, work: records.Work, on_record: OnRecord, cancelled: Callable[[], bool], deadline_s: float
    ) -> records.WorkResult:
        """Have the worker do one task. Raises WorkerDied.

        ``on_record`` gets everything but the ending, in this thread; when it raises, the worker is killed and the
        exception passes. Within the budget of an attempt: a worker that sends more is ended, or not listened to.
        """
        told, budget = False, Budget()
        try:
            with self._deadline(deadline_s):
                self.send(work)
                while True:
                    if not told and cancelled():
                        told = True
                        self.send(records.Cancel())
                    message = self._receive(budget)
                    if isinstance(message, records.WorkResult):
                        return message
                    if message is not None:
                        on_record(message)
        except BaseException:
            self.kill()
            raise
        finally:
            budget.report()

    @contextmanager
    def _deadline(self, seconds: float) -> Iterator[None]:
        """Kill the worker after that time, from another thread: a worker that sends half a record, or reads none,
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
        """The next record, or None when none came for a moment, or one that is dropped. Raises WorkerDied."""
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
            late = "the worker did not answer before its deadline"
            raise self._death(late if self._overdue else "the worker died, or sent too much") from None
        except ValidationError as e:
            raise self._death("the worker sent a record that can't be read") from e

    def _death(self, why: str) -> WorkerDied:
        self.kill()
        code = self._process.returncode if self._process is not None else None
        return WorkerDied(f"{why} (exit status {code})")

    def kill(self) -> None:
        """End the worker now."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End the worker: an idle one sees the pipe close and leaves; one that does not is killed."""
        if self._process is None:
            return
        self._pipe.close()
        try:
            self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None
