"""Checkpoints, from which the next attempt at a task resumes: stored while the worker works, and sealed."""

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
from shared.storage.artifacts import CHECKPOINTS_TAG
from shared.storage.errors import ArtifactAltered, ArtifactMissing, ArtifactRefused, StorageError
from shared.storage.protocols import Storage
from shared.telemetry.attributes import set_attributes

ROLE = "checkpoint"
SEAL_VERSION = "checkpoint-1"

log = structlog.get_logger()


class CheckpointRecord(BaseModel):
    """The newest checkpoint: its artifact, the amount of work done, and the seal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ref: ArtifactRef
    done: int
    seal: str


@dataclass(frozen=True, slots=True)
class _OpenCheckpoint:
    """A checkpoint file of the worker, kept open so that it can't be replaced."""

    record: records.Checkpoint
    path: Path
    file: ExitStack


class CheckpointStore:
    """The checkpoints of one attempt. Call ``find`` before the work, ``add`` during it and ``close`` after it.

    The seal is an HMAC over the task's request, the digests of its inputs and the digest of the checkpoint. A
    checkpoint that is damaged, belongs to another request, or was written without the deployment's secret is ignored.
    ``digests`` are hex SHA-256 digests by input role.
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
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._lock = Lock()
        self._waiting: _OpenCheckpoint | None = None
        self._running: Future[None] | None = None
        self._count = 0
        self._current: str | None = None

    def find(self, path: Path) -> Path | None:
        """Download the newest checkpoint to ``path``; None when there is none with a valid seal.

        Raises StoreUnavailable.
        """
        try:
            value = self._store.documents.get(self._record_key)
            if value is None:
                return None
            checkpoint = CheckpointRecord.model_validate(value)
            if not hmac.compare_digest(checkpoint.seal, self._seal(checkpoint.ref, checkpoint.done)):
                raise ArtifactAltered("the checkpoint was not sealed for this task")
            with self._telemetry.span("artifact.get", {"artifact.role": ROLE}) as span:
                self._store.artifacts.get(checkpoint.ref, path)
                set_attributes(span, {"artifact.bytes": checkpoint.ref.size})
        except (ArtifactMissing, ArtifactAltered, ArtifactRefused, ValidationError, KeyError) as e:
            log.warning("checkpoint_ignored", error=type(e).__name__)
            return None
        path.chmod(0o444)
        self._telemetry.bytes("get", checkpoint.ref.size)
        self._current = checkpoint.ref.key
        log.info("checkpoint_loaded", done=checkpoint.done)
        return path

    def add(self, record: records.Checkpoint) -> None:
        """Store a checkpoint of the worker, in a background thread; it replaces one that still waits to be stored.

        Raises WorkerDied for a path that is no regular file of the attempt's folder.
        """
        file = ExitStack()
        checkpoint = _OpenCheckpoint(record, file.enter_context(self._folder.opened(record.path)), file)
        with self._lock:
            superseded, self._waiting = self._waiting, checkpoint
            if self._running is None or self._running.done():
                self._running = self._pool.submit(copy_context().run, self._store_waiting)
        if superseded is not None:
            self._drop(superseded)

    def _drop(self, checkpoint: _OpenCheckpoint) -> None:
        """Delete the file: the next checkpoint may need its space."""
        checkpoint.file.close()
        with suppress(OSError, WorkerDied):  # It may be deleted already; the rest is deleted with the folder.
            self._folder.remove(checkpoint.record.path)

    def _store_waiting(self) -> None:
        while True:
            with self._lock:
                checkpoint, self._waiting = self._waiting, None
                if checkpoint is None:
                    self._running = None
                    return
            try:
                self._put(checkpoint)
            except (StorageError, WorkerDied, Abandoned, JobCancelled, OSError) as e:
                # The work continues without this checkpoint.
                log.warning("checkpoint_not_stored", error=type(e).__name__, done=checkpoint.record.done)
            except Exception:
                # No code reads this thread's result: without this line the failure would be invisible.
                log.exception("checkpoint_not_stored", done=checkpoint.record.done)

    def _put(self, checkpoint: _OpenCheckpoint) -> None:
        key = keys.within(self._prefix, f"{self._attempt}-{self._count:05d}.bin")
        self._count += 1
        try:
            ref = self._store.artifacts.put(checkpoint.path, key, tag=CHECKPOINTS_TAG)
        finally:
            self._drop(checkpoint)
        done = checkpoint.record.done
        document = CheckpointRecord(ref=ref, done=done, seal=self._seal(ref, done))
        # The object first, then the document that names it: a kill between the two keeps the previous checkpoint.
        self._store.documents.put(self._record_key, document.model_dump(mode="json"))
        self._telemetry.bytes("put", ref.size)
        previous, self._current = self._current, key
        if previous is not None:
            with best_effort():  # The new checkpoint is stored, whether or not this succeeds.
                self._store.artifacts.delete([previous])

    def _seal(self, ref: ArtifactRef, done: int) -> str:
        task = self._task
        parameters: dict[str, JsonValue] = {
            "job": task.job_id,
            "request_id": task.request_id,
            "request": task.request.model_dump(mode="json"),
            "key": ref.key,
            "size": ref.size,
            "done": done,
        }
        inputs = {**self._digests, f"{ROLE}.sha256": ref.sha256}
        return self._store.cache.digest(task.request.tenant, self._stage, SEAL_VERSION, inputs, parameters)

    def close(self) -> None:
        """Wait until the worker's checkpoints are stored: the next attempt may start at once."""
        self._pool.shutdown(wait=True)
