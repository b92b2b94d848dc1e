"""Checkpoints: state from which the next attempt at a task resumes. Stored while the worker works, sealed, deleted."""

import hmac
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import structlog
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from shared.messages.refs import ArtifactRef
from shared.messages.task import RenderTask
from shared.runtime.execute.scratch import WorkFolder
from shared.runtime.execute.worker_telemetry import WorkerTelemetry
from shared.runtime.failures import Abandoned, JobCancelled, WorkerDied
from shared.runtime.retry_policy import best_effort
from shared.slot import records
from shared.storage import keys
from shared.storage.errors import ArtifactAltered, ArtifactMissing, ArtifactRefused, StorageError
from shared.storage.protocols import Storage

ROLE = "state"
SEAL_VERSION = "resume-1"

log = structlog.get_logger()


class CheckpointRecord(BaseModel):
    """The newest state: where it lies, how much work it holds, and the seal under which it was written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ref: ArtifactRef
    done: int
    seal: str


@dataclass(frozen=True, slots=True)
class _Handed:
    """A state as the worker handed it over: held open, so that nothing else can be put in its place."""

    record: records.Checkpoint
    path: Path
    file: ExitStack


class CheckpointStore:
    """The states of one attempt. ``find`` before the work, ``add`` while it goes on, ``close`` after it.

    The seal is an HMAC over the task's request, the digests of its inputs and the state's own: a state that was
    damaged, or written for something else, or by somebody without the deployment's secret, is as good as none.
    ``digests`` are SHA-256 by input role.
    """

    def __init__(
        self,
        store: Storage,
        task: RenderTask,
        stage: str,
        digests: Mapping[str, str],
        attempt: str,
        folder: WorkFolder,
        telemetry: WorkerTelemetry,
    ) -> None:
        self._store = store
        self._task = task
        self._stage = stage
        self._digests = digests
        self._attempt = attempt
        self._folder = folder
        self._telemetry = telemetry
        self._prefix = keys.checkpoint_prefix(task.request.tenant, task.job_id, stage)
        self._record_key = keys.checkpoint_record(task.request.tenant, task.job_id, stage)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")
        self._lock = Lock()
        self._waiting: _Handed | None = None
        self._running: Future[None] | None = None
        self._count = 0
        self._current: str | None = None

    def find(self, path: Path) -> Path | None:
        """Download the newest state to ``path``; None when none can be trusted. Raises StoreUnavailable."""
        try:
            value = self._store.documents.get(self._record_key)
            if value is None:
                return None
            found = CheckpointRecord.model_validate(value)
            if not hmac.compare_digest(found.seal, self._seal(found.ref, found.done)):
                raise ArtifactAltered("it was not sealed for this task")
            with self._telemetry.span("artifact.get", {"artifact.role": ROLE}) as span:
                self._store.artifacts.get(found.ref, path)
                span.set_attribute("artifact.bytes", found.ref.size)
        except (ArtifactMissing, ArtifactAltered, ArtifactRefused, ValidationError, KeyError) as e:
            log.warning("state_ignored", error=type(e).__name__)
            return None
        path.chmod(0o444)
        self._telemetry.bytes("get", found.ref.size)
        self._current = found.ref.key
        log.info("state_found", done=found.done)
        return path

    def add(self, record: records.Checkpoint) -> None:
        """Store a state the worker made, in a thread; one that still waits for its turn is passed over for it.

        Raises WorkerDied for what is no file of its folder: such a worker is not to be trusted.
        """
        file = ExitStack()
        handed = _Handed(record, file.enter_context(self._folder.opened(record.path)), file)
        with self._lock:
            passed, self._waiting = self._waiting, handed
            if self._running is None or self._running.done():
                self._running = self._pool.submit(copy_context().run, self._store_waiting)
        if passed is not None:
            self._drop(passed)

    def _drop(self, handed: _Handed) -> None:
        """Free its space, which may be what a next one needs."""
        handed.file.close()
        with suppress(OSError, WorkerDied):  # It may be gone; what stays goes with the folder.
            self._folder.remove(handed.record.path)

    def _store_waiting(self) -> None:
        while True:
            with self._lock:
                handed, self._waiting = self._waiting, None
                if handed is None:
                    self._running = None
                    return
            try:
                self._put(handed)
            except (StorageError, WorkerDied, Abandoned, JobCancelled, OSError) as e:
                # The work is worth more than the way back to here.
                log.warning("state_not_stored", error=type(e).__name__, done=handed.record.done)
            except Exception:
                # Nobody asks this thread for its result: it would be seen nowhere.
                log.exception("state_not_stored", done=handed.record.done)

    def _put(self, handed: _Handed) -> None:
        key = keys.within(self._prefix, f"{self._attempt}-{self._count:05d}.bin")
        self._count += 1
        try:
            ref = self._store.artifacts.put(handed.path, key)
        finally:
            self._drop(handed)
        done = handed.record.done
        document = CheckpointRecord(ref=ref, done=done, seal=self._seal(ref, done))
        # The object first, then the document that names it: a kill between the two leaves the state before.
        self._store.documents.put(self._record_key, document.model_dump(mode="json"))
        self._telemetry.bytes("put", ref.size)
        before, self._current = self._current, key
        if before is not None:
            with best_effort():  # Stored is stored.
                self._store.artifacts.delete([before])

    def _seal(self, ref: ArtifactRef, done: int) -> str:
        task = self._task
        about: dict[str, JsonValue] = {
            "job": task.job_id,
            "request_id": task.request_id,
            "request": task.request.model_dump(mode="json"),
            "key": ref.key,
            "size": ref.size,
            "done": done,
        }
        inputs = {**self._digests, f"{ROLE}.sha256": ref.sha256}
        return self._store.cache.digest(task.request.tenant, self._stage, SEAL_VERSION, inputs, about)

    def close(self) -> None:
        """Wait until what the worker saved is stored: the next attempt may come at once."""
        self._pool.shutdown(wait=True)
