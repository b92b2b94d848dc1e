"""One attempt of a stage at a task: fetch, work in the worker, store. Says nothing to Kafka."""

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import structlog

from shared.messages.codes import Rejected
from shared.messages.refs import ArtifactRef, InputRef
from shared.messages.task import RenderTask, StageOutput
from shared.runtime.admission import MIB, rejection
from shared.runtime.budget import OverBudget, Warnings
from shared.runtime.checkpoints import ROLE, CheckpointStore
from shared.runtime.chunk_transfer import ChunkDownloader, ChunkUploader
from shared.runtime.disk_space import DiskFull, is_full
from shared.runtime.map_concurrently import map_concurrently
from shared.runtime.retry_policy import RetryPolicy
from shared.runtime.settings import RuntimeSettings
from shared.runtime.store import Store
from shared.runtime.waiting import JobCancelled
from shared.runtime.work_folder import WorkFolder
from shared.runtime.worker_process import WorkerDied, WorkerProcess
from shared.runtime.worker_telemetry import WorkerTelemetry
from shared.slot import records
from shared.slot.disk import disk_full
from shared.slot.spec import StageSpec
from shared.storage import frames, keys
from shared.storage.errors import (
    ArtifactAltered,
    ArtifactMissing,
    ArtifactRefused,
    InputError,
    ObjectLost,
    StorageError,
)
from shared.storage.manifest import read_manifest

log = structlog.get_logger()


class HandlerFailed(Exception):
    """The handler raised something it should not have; ``exception`` is the class, ``stack`` where it came from."""

    def __init__(self, record: records.HandlerFailed) -> None:
        super().__init__(f"{record.exception}: {record.message}")
        self.exception = record.exception
        self.stack = record.stack


@dataclass(slots=True)
class Attempt:
    """One attempt; ``run`` once. Its artifacts lie under a prefix of its own, so that rivals never overwrite."""

    task: RenderTask
    spec: StageSpec
    store: Store
    settings: RuntimeSettings
    retry: RetryPolicy
    worker: WorkerProcess
    cancelled: Callable[[], bool]
    progress: Callable[[int, int], None]
    telemetry: WorkerTelemetry
    scratch: Path
    """Folder for the attempt's own, which is removed when the attempt ends."""
    id: str = field(default_factory=lambda: uuid4().hex)
    prefix: str = ""
    has_frames: bool = False
    """Whether the index of frames names this attempt."""
    digest: str | None = None
    """Under which the cache is to know the output; None for one that is not cacheable, or comes from there."""

    def run(self) -> StageOutput:
        """The stage's output, stored.

        Raises Rejected, JobCancelled, HandlerFailed, WorkerDied, StorageError (missing or altered artifacts; an
        unavailable store), DiskFull whoever met it, Abandoned, OSError when this machine is at fault.
        """
        try:
            return self._run()
        except JobCancelled:
            raise
        except Exception as e:
            if disk_full(e):
                raise DiskFull(f"the disk of the scratch folder is full ({type(e).__name__})") from e
            raise

    def _run(self) -> StageOutput:
        start = time.monotonic()
        scratch = Path(tempfile.mkdtemp(dir=self.scratch))
        try:
            inputs, digests = self._fetch(scratch)
            digest = self._cache_digest(digests)
            tenant, stage = self.task.request.tenant, self.spec.name
            if digest is not None:
                cached = self._cached(tenant, stage, digest)
                self.telemetry.cache(hit=cached is not None)
                if cached is not None:
                    self.telemetry.cached(self.spec, cached)
                    return cached.model_copy(update={"attempt": self.id, "seconds": time.monotonic() - start})
                self.digest = digest
                self.prefix = keys.cache_prefix(tenant, stage, digest, self.id)
            else:
                self.prefix = keys.attempt_prefix(tenant, self.task.job_id, stage, self.id)
            output = self._work(scratch, inputs, digests)
            return output.model_copy(update={"seconds": time.monotonic() - start})
        except (WorkerDied, HandlerFailed) as e:
            # NumPy and OpenCV report a failed write without saying why, and a write to a mapped file ends the worker.
            if is_full(self.scratch):
                raise DiskFull(f"the disk of the scratch folder is full ({type(e).__name__})") from e
            raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _fetch(self, scratch: Path) -> tuple[dict[str, Path], dict[str, str]]:
        """Inputs as local files, and their SHA-256 digests, by role."""
        folder = scratch / "in"
        folder.mkdir()
        paths: dict[str, Path] = {}
        digests: dict[str, str] = {}

        def fetch(item: tuple[str, str]) -> None:
            role, source = item
            path = folder / role
            with self.telemetry.span("artifact.get", {"artifact.role": role}) as span:
                if source.startswith("request."):
                    digests[role], size = self._fetch_input(source.removeprefix("request."), path)
                else:
                    ref = self._artifact(source)
                    self._fetch_artifact(ref, path)
                    digests[role], size = ref.sha256, ref.size
                span.set_attribute("artifact.bytes", size)
            self.telemetry.bytes("get", size)
            path.chmod(0o444)
            paths[role] = path

        map_concurrently(fetch, self.spec.inputs.items())
        return paths, digests

    def _fetch_artifact(self, ref: ArtifactRef, path: Path) -> None:
        try:
            self.retry(lambda: self.store.artifacts.get(ref, path))
        except (ArtifactMissing, ArtifactAltered, ArtifactRefused) as e:
            log.warning("artifact_unusable", error=type(e).__name__)
            with suppress(StorageError):
                self.store.cache.forget(self.task.request.tenant, ref)
            raise

    def _fetch_input(self, name: str, path: Path) -> tuple[str, int]:
        ref: InputRef = getattr(self.task.request, name)
        limit = (self.settings.max_portrait_mb if name == "portrait" else self.settings.max_speech_mb) * MIB
        tenant = self.task.request.tenant
        try:
            digest = self.retry(lambda: self.store.inputs.get(ref, path, limit, tenant=tenant))
        except InputError as e:
            raise rejection(e, name, limit) from e
        return digest.sha256, digest.size

    def _artifact(self, source: str) -> ArtifactRef:
        stage, _, role = source.partition("/")
        output = self.task.outputs.get(stage)
        if output is None or role not in output.artifacts:
            raise ArtifactMissing(f"the task names no artifact {source}")
        return output.artifacts[role]

    def _cached(self, tenant: str, stage: str, digest: str) -> StageOutput | None:
        try:
            return self.retry(lambda: self.store.cache.lookup(tenant, stage, digest))
        except ObjectLost as e:
            log.warning("cache_entry_lost", error=str(e))
            return None

    def _cache_digest(self, digests: dict[str, str]) -> str | None:
        if self.spec.cache_version is None:
            return None
        parameters = self.spec.cache_parameters(self.task) if self.spec.cache_parameters else {}
        return self.store.cache.digest(
            self.task.request.tenant, self.spec.name, self.spec.cache_version, digests, parameters
        )

    def _work(self, scratch: Path, inputs: dict[str, Path], digests: dict[str, str]) -> StageOutput:
        chunk_folder = scratch / "chunks"
        chunk_folder.mkdir()
        manifests = {
            role: self.retry(lambda s=source: read_manifest(self.store.artifacts, self._artifact(s)))  # type: ignore[misc]
            for role, source in self.spec.streams.items()
        }
        folder = WorkFolder(scratch / "work")
        uploads = ChunkUploader(
            self.store, self.retry, self.worker, self.prefix, folder, self.telemetry, self._note_frames
        )
        downloads = ChunkDownloader(self.store, self.retry, self.worker, manifests, chunk_folder, self.telemetry)
        states = self._states(digests, folder) if self.spec.resumes else None
        warnings = Warnings()

        def on_record(record: records.FromWorker) -> None:
            if isinstance(record, records.FileReady):
                uploads.add(record)
            elif isinstance(record, records.ChunkRequest):
                downloads.want(record)
            elif isinstance(record, records.Checkpoint):
                if states is None:
                    raise WorkerDied("the worker saved state, and its stage does not resume")
                states.add(record)
            elif isinstance(record, records.Warned):
                warnings.add(record)
            elif isinstance(record, records.Progress):
                self.progress(record.done, record.total)
            else:
                self.telemetry.take(record)

        def interrupted() -> bool:
            for failure in (downloads.failure, uploads.failure):
                if isinstance(failure, JobCancelled):
                    return True  # It ends by itself; killed, it would have to load its model again.
                if failure is not None:
                    raise failure
            return self.cancelled()

        try:
            checkpoint = states.find(scratch / ROLE) if states else None
            work = records.Work(
                job=self.task,
                inputs={role: str(path) for role, path in inputs.items()},
                chunk_counts=downloads.counts,
                scratch=str(folder.path),
                checkpoint=str(checkpoint) if checkpoint else None,
            )
            ending = self.worker.run(work, on_record, interrupted, self.spec.deadline_s)
            self._raise_unless_finished(ending)
            assert isinstance(ending, records.Finished)
            artifacts = self._store_files(ending, folder) | uploads.finish()
            downloads.finish()
        finally:
            uploads.close()
            downloads.close()
            if states is not None:
                states.close()
            folder.close()
        try:
            return warnings.within(StageOutput(attempt=self.id, artifacts=artifacts, metadata=ending.metadata))
        except OverBudget as e:
            raise WorkerDied(str(e)) from e

    def _note_frames(self) -> None:
        """The janitor finds the chunks of this attempt, should this service be killed."""
        tenant, job = self.task.request.tenant, self.task.job_id
        try:
            self.retry(lambda: frames.note(self.store.artifacts, tenant, job, self.spec.name, self.id))
            self.has_frames = True
        except ArtifactRefused as e:  # The lifecycle finds them too, if later.
            log.warning("frames_not_noted", error=str(e))

    def _states(self, digests: dict[str, str], folder: WorkFolder) -> CheckpointStore:
        return CheckpointStore(
            self.store, self.retry, self.task, self.spec.name, digests, self.id, folder, self.telemetry
        )

    def _raise_unless_finished(self, ending: records.WorkResult) -> None:
        match ending:
            case records.Refused():
                raise Rejected(ending.code, ending.message, field=ending.field, allowed=ending.allowed)
            case records.CancelledTask():
                raise JobCancelled
            case records.DiskFull():
                raise DiskFull("the disk of the scratch folder is full: the handler could not write")
            case records.HandlerFailed():
                raise HandlerFailed(ending)

    def _store_files(self, ending: records.Finished, folder: WorkFolder) -> dict[str, ArtifactRef]:
        def put(item: tuple[str, str]) -> tuple[str, ArtifactRef]:
            role, name = item
            key = keys.within(self.prefix, Path(name).name)
            with self.telemetry.span("artifact.put", {"artifact.role": role}) as span, folder.opened(name) as path:
                ref = self.retry(lambda: self.store.artifacts.put(path, key))
                span.set_attribute("artifact.bytes", ref.size)
            self.telemetry.bytes("put", ref.size)
            return role, ref

        return dict(map_concurrently(put, ending.files.items()))

    def remember(self, output: StageOutput) -> None:
        """Let the cache know an output that won; best effort, the job has gone on already."""
        if self.digest is None:
            return
        try:
            self.store.cache.store(self.task.request.tenant, self.spec.name, self.digest, output)
        except StorageError as e:
            log.info("output_not_cached", error=str(e))

    def discard(self) -> None:
        """Delete what this attempt stored: it lost, or failed. Janitor and lifecycle find what stays."""
        if not self.prefix:
            return
        try:
            self.retry(lambda: self.store.artifacts.delete_prefix(self.prefix))
            if self.has_frames:
                tenant, job = self.task.request.tenant, self.task.job_id
                frames.forget(self.store.artifacts, tenant, job, self.spec.name, self.id)
        except StorageError as e:
            log.info("attempt_left_to_janitor", error=type(e).__name__)
