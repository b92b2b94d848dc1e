"""One attempt at a task: download the inputs, run the worker, upload the output. Publishes nothing to Kafka."""

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import structlog

from shared.messages.codes import Rejected
from shared.messages.refs import ArtifactRef
from shared.messages.task import RenderTask, StageOutput
from shared.runtime import fault_injection
from shared.runtime.execute.budget import Warnings
from shared.runtime.execute.checkpoints import ROLE, CheckpointStore
from shared.runtime.execute.chunk_transfer import ChunkDownloader, ChunkUploader
from shared.runtime.execute.map_concurrently import map_concurrently
from shared.runtime.execute.scratch import WorkFolder, is_full
from shared.runtime.execute.task_inputs import TaskInputs, artifact, artifact_name, naming
from shared.runtime.execute.worker_process import Worker
from shared.runtime.execute.worker_telemetry import WorkerTelemetry
from shared.runtime.failures import DiskFull, HandlerFailed, JobCancelled, WorkerDied
from shared.runtime.retry_policy import best_effort
from shared.runtime.settings import RuntimeSettings
from shared.runtime.waiting import cancellable, current_task, never
from shared.slot import records
from shared.slot.disk import disk_full
from shared.slot.spec import StageSpec
from shared.storage import frames, keys
from shared.storage.errors import ArtifactRefused, StorageError, StoreOutage, StoreUnavailable
from shared.storage.manifest import ChunkManifest, read_manifest
from shared.storage.protocols import Storage
from shared.telemetry.attributes import set_attributes

log = structlog.get_logger()


@dataclass(slots=True)
class Attempt:
    """One attempt; call ``run`` once. It stores artifacts under its own prefix, so that concurrent attempts never
    overwrite each other."""

    task: RenderTask
    spec: StageSpec
    store: Storage
    settings: RuntimeSettings
    worker: Worker
    cancelled: Callable[[], bool]
    """Whether the work must stop: the job is cancelled or expired, or the partition is lost."""
    progress: Callable[[int, int], None]
    telemetry: WorkerTelemetry
    scratch: Path
    """Folder in which the attempt creates its own folder, which it removes when it ends."""
    id: str = field(default_factory=lambda: uuid4().hex)
    prefix: str = ""
    has_frames: bool = False
    """Whether the index of frames names this attempt."""
    digest: str | None = None
    """Key of the output in the cache; None for an output that is not cacheable or was read from the cache."""

    def run(self) -> StageOutput:
        """Make the attempt; returns the stage's output, whose artifacts are stored.

        Raises Rejected, JobCancelled (whatever stopped the work), HandlerFailed, WorkerDied, StorageError (missing or
        altered artifacts, an unavailable object store), DiskFull when service or worker filled the disk, Abandoned, and
        OSError when the machine is at fault.
        """
        start = time.monotonic()
        scratch: Path | None = None
        try:
            scratch = Path(tempfile.mkdtemp(dir=self.scratch))
            with current_task().working(self.spec.deadline_s):
                return self._run(scratch).model_copy(update={"seconds": time.monotonic() - start})
        except JobCancelled:
            raise
        except Exception as e:
            # NumPy and OpenCV report a failed write without a reason, and a write to a mapped file kills the worker.
            hidden = isinstance(e, WorkerDied | HandlerFailed) and is_full(self.scratch)
            if hidden or disk_full(e):
                raise DiskFull(f"the disk of the scratch folder is full ({type(e).__name__})") from e
            raise
        finally:
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)

    def _run(self, scratch: Path) -> StageOutput:
        tenant, stage = self.task.request.tenant, self.spec.name
        folder = scratch / "in"
        folder.mkdir()
        fault_injection.reached("read")
        inputs, digests = TaskInputs(self.task, self.store, self.settings, self.telemetry).fetch(
            self.spec.inputs, folder
        )
        digest = self._cache_digest(digests)
        if digest is None:
            self.prefix = keys.attempt_prefix(tenant, self.task.job_id, stage, self.id)
        else:
            cached = self._cached(tenant, stage, digest)
            self.telemetry.cache(hit=cached is not None)
            if cached is not None:
                self.telemetry.cached(self.spec, cached)
                return cached.model_copy(update={"attempt": self.id, "cpu_seconds": 0.0})
            self.digest = digest
            self.prefix = keys.cache_prefix(tenant, stage, digest, self.id)
        return self._work(scratch, inputs, digests)

    def _cache_digest(self, digests: dict[str, str]) -> str | None:
        if self.spec.cache_version is None:
            return None
        parameters = self.spec.cache_parameters(self.task) if self.spec.cache_parameters else {}
        return self.store.cache.digest(
            self.task.request.tenant, self.spec.name, self.spec.cache_version, digests, parameters
        )

    def _cached(self, tenant: str, stage: str, digest: str) -> StageOutput | None:
        try:
            return self.store.cache.lookup(tenant, stage, digest)
        except StoreOutage:
            raise
        except StoreUnavailable as e:  # This entry alone: making the output again is quicker than a retry.
            log.warning("cache_entry_unavailable", error=str(e))
            return None

    def _work(self, scratch: Path, inputs: dict[str, Path], digests: dict[str, str]) -> StageOutput:
        """Run the handler. Chunks and checkpoints are transferred meanwhile, the other files afterwards."""
        chunk_folder = scratch / "chunks"
        chunk_folder.mkdir()
        manifests = {role: self._manifest(source) for role, source in self.spec.streams.items()}
        folder = WorkFolder(scratch / "work")
        uploads = ChunkUploader(self.store, self.worker, self.prefix, folder, self.telemetry, self._note_frames)
        downloads = ChunkDownloader(self.store, self.worker, manifests, chunk_folder, self.telemetry)
        checkpoints = self._checkpoints(digests, folder) if self.spec.resumes else None
        warnings = Warnings()

        def on_record(record: records.FromWorker) -> None:
            match record:
                case records.FileReady():
                    uploads.add(record)
                case records.ChunkRequest():
                    downloads.request(record)
                case records.Checkpoint():
                    if checkpoints is None:
                        raise WorkerDied("the worker saved a checkpoint, and its stage does not resume")
                    checkpoints.add(record)
                case records.Warned():
                    warnings.add(record)
                case records.Progress():
                    self.progress(record.done, record.total)
                case _:
                    self.telemetry.take(record)

        def stopped() -> bool:
            for failure in (downloads.failure, uploads.failure):
                if isinstance(failure, JobCancelled | StoreUnavailable):
                    return True  # The worker stops by itself; if killed, it would have to load its model again.
                if failure is not None:
                    raise failure
            return self.cancelled()

        try:
            checkpoint = checkpoints.find(scratch / ROLE) if checkpoints else None
            work = records.Work(
                job=self.task,
                inputs={role: str(path) for role, path in inputs.items()},
                chunk_counts=downloads.counts,
                scratch=str(folder.path),
                checkpoint=str(checkpoint) if checkpoint else None,
            )
            fault_injection.reached("work")
            result = self.worker.run(work, on_record, stopped, self.spec.deadline_s)
            for failure in (downloads.failure, uploads.failure):
                if failure is not None and isinstance(result, records.CancelledTask):
                    raise failure
            finished = _finished(result)
            fault_injection.reached("put")
            artifacts = self._upload_files(finished, folder) | uploads.finish()
            downloads.finish()
        finally:
            uploads.close()
            downloads.close()
            if checkpoints is not None:
                checkpoints.close()
            folder.close()
        return warnings.within(
            StageOutput(
                attempt=self.id,
                artifacts=artifacts,
                metadata=finished.metadata,
                cpu_seconds=round(finished.cpu_seconds, 3),
            )
        )

    def _manifest(self, source: str) -> ChunkManifest:
        with naming(artifact_name(source)):
            return read_manifest(self.store.artifacts, artifact(self.task, source))

    def _note_frames(self) -> None:
        """Add the attempt to the index of frames, so that the janitor finds its chunks if this service is killed."""
        tenant, job = self.task.request.tenant, self.task.job_id
        try:
            frames.note(self.store.artifacts, tenant, job, self.spec.name, self.id)
            self.has_frames = True
        except ArtifactRefused as e:  # The bucket's lifecycle rules delete the chunks later.
            log.warning("frames_not_noted", error=str(e))

    def _checkpoints(self, digests: dict[str, str], folder: WorkFolder) -> CheckpointStore:
        return CheckpointStore(self.store, self.task, self.spec.name, digests, self.id, folder, self.telemetry)

    def _upload_files(self, finished: records.Finished, folder: WorkFolder) -> dict[str, ArtifactRef]:
        def put(item: tuple[str, str]) -> tuple[str, ArtifactRef]:
            role, name = item
            key = keys.within(self.prefix, Path(name).name)
            with self.telemetry.span("artifact.put", {"artifact.role": role}) as span, folder.opened(name) as path:
                ref = self.store.artifacts.put(path, key)
                set_attributes(span, {"artifact.bytes": ref.size})
            self.telemetry.bytes("put", ref.size)
            return role, ref

        return dict(map_concurrently(put, finished.files.items()))

    def remember(self, output: StageOutput) -> None:
        """Store the winning output in the cache; best effort, because the task is already published."""
        if self.digest is not None:
            with best_effort():
                self.store.cache.store(self.task.request.tenant, self.spec.name, self.digest, output)

    def discard(self) -> None:
        """Delete the artifacts of an attempt that lost or failed. Janitor and lifecycle rules delete what remains."""
        if not self.prefix:
            return
        tenant, job = self.task.request.tenant, self.task.job_id
        with cancellable(never):  # The artifacts of a cancelled job are deleted, too.
            try:
                self.store.artifacts.delete_prefix(self.prefix)
            except StorageError as e:
                log.info("attempt_left_to_janitor", error=type(e).__name__)
                return
        if self.has_frames:
            with best_effort():
                frames.forget(self.store.artifacts, tenant, job, self.spec.name, self.id)


def _finished(result: records.WorkResult) -> records.Finished:
    """The handler's result. Raises Rejected, JobCancelled, DiskFull or HandlerFailed for the other outcomes."""
    match result:
        case records.Finished():
            return result
        case records.Refused():
            raise Rejected(result.code, result.message, field=result.field, allowed=result.allowed)
        case records.CancelledTask():
            raise JobCancelled("the job was cancelled while its handler ran")
        case records.DiskFull():
            raise DiskFull("the disk of the scratch folder is full: the handler could not write")
        case records.HandlerFailed():
            raise HandlerFailed(result)
