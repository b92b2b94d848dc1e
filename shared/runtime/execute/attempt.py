"""One attempt at a task: download the inputs, run the worker, upload the output. Publishes nothing to Kafka."""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import structlog

from shared.messages.codes import Rejected
from shared.messages.refs import ArtifactRef
from shared.messages.task import RenderTask, StageOutput
from shared.runtime import fault_injection
from shared.runtime.execute.budget import Warnings
from shared.runtime.execute.cached_output import CachedOutput
from shared.runtime.execute.checkpoints import ROLE, CheckpointStore
from shared.runtime.execute.chunk_downloads import ChunkDownloader
from shared.runtime.execute.chunk_notices import ChunkNotices, Destination
from shared.runtime.execute.chunk_sequence import ChunkSequence
from shared.runtime.execute.chunk_uploads import ChunkUploader
from shared.runtime.execute.map_concurrently import map_concurrently
from shared.runtime.execute.preview import ROLE as PREVIEW_ROLE
from shared.runtime.execute.preview import Preview
from shared.runtime.execute.provenance import Provenance
from shared.runtime.execute.removal import remove_folder
from shared.runtime.execute.scratch import WorkerFolder, WorkFolder, is_full
from shared.runtime.execute.task_inputs import TaskInputs, artifact, artifact_name, naming
from shared.runtime.execute.worker_process import Worker
from shared.runtime.execute.worker_telemetry import WorkerTelemetry
from shared.runtime.failures import DiskFull, HandlerFailed, JobCancelled, WorkerDied
from shared.runtime.retry_policy import best_effort
from shared.runtime.settings import RuntimeSettings
from shared.runtime.waiting import cancellable, current_task, never
from shared.slot import records
from shared.slot.disk import disk_full
from shared.slot.marking import Marking
from shared.slot.spec import StageSpec
from shared.storage import frames, keys
from shared.storage.errors import ArtifactRefused, StorageError, StoreUnavailable
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
    """The service's scratch folder. The attempt creates its own folders in that of the worker, and removes them when
    it ends."""
    id: str = field(default_factory=lambda: uuid4().hex)
    prefix: str = ""
    has_frames: bool = False
    """Whether the index of frames names this attempt."""
    cached: CachedOutput | None = None
    """Its output in the cache; None for one that is not cacheable or was read from there."""
    notices: ChunkNotices | None = None
    """Notifies the following stage of stored chunks; None where it does not start early."""
    unfinished: Mapping[str, ChunkSequence] = field(default_factory=dict)
    """Sequences that the stage before still makes, by role: the attempt has started before its task was there."""
    preview: Preview | None = None
    """What the attempt publishes while it works; None where the request asks for no preview."""
    provenance: Provenance | None = None
    """How videos are marked; None for a stage that makes no video."""
    waited_s: float = 0.0
    """How long the worker has waited for chunks of unfinished sequences, seconds; set when the work has ended."""

    @property
    def _folder(self) -> WorkerFolder:
        return self.worker.folder or WorkerFolder(self.scratch, self.scratch)

    @property
    def _work_path(self) -> Path:
        """The folder in which the worker writes during this attempt. A process that stays for its tenant can't know the
        name before."""
        return self._folder.work / f"{self.id}-work"

    def _is_of_worker(self, e: Exception) -> bool:
        """Whether a file or folder was missing, or in the way, where the worker may delete and write."""
        if not isinstance(e, FileNotFoundError | FileExistsError | NotADirectoryError | IsADirectoryError):
            return False
        place = self.worker.folder
        return place is not None and Path(str(e.filename)).is_relative_to(place.path)

    @property
    def destination(self) -> Destination | None:
        """Where the following stage expects its task; None where it may be anywhere."""
        return self.notices.destination if self.notices is not None else None

    def run(self) -> StageOutput:
        """Make the attempt; returns the stage's output, whose artifacts are stored.

        Raises Rejected, JobCancelled (whatever stopped the work), HandlerFailed, WorkerDied, StorageError (missing or
        altered artifacts, an unavailable object store), DiskFull when service or worker filled the disk, Abandoned, and
        OSError when the machine is at fault.
        """
        start = time.monotonic()
        worker = self.worker
        fault_injection.has_worker(lambda: worker.pid)
        scratch: Path | None = None
        try:
            scratch = Path(tempfile.mkdtemp(dir=self._folder.inputs))
            with current_task().working(self.spec.deadline_s):
                output = self._run(scratch)
                return output.model_copy(update={"seconds": time.monotonic() - start - self.waited_s})
        except JobCancelled:
            raise
        except Exception as e:
            # NumPy and OpenCV report a failed write without a reason, and a write to a mapped file kills the worker.
            if self._is_of_worker(e):
                raise WorkerDied("the worker changed the folder of its task") from e
            hidden = isinstance(e, WorkerDied | HandlerFailed) and is_full(self.scratch)
            if hidden or disk_full(e):
                raise DiskFull(f"the disk of the scratch folder is full ({type(e).__name__})") from e
            raise
        finally:
            if scratch is not None:
                remove_folder(scratch)
                remove_folder(self._work_path)

    def _run(self, scratch: Path) -> StageOutput:
        tenant, stage = self.task.request.tenant, self.spec.name
        self._reached("read")
        inputs, digests = TaskInputs(self.task, self.store, self.settings, self.telemetry).fetch(
            self.spec.inputs, scratch
        )
        cached = CachedOutput.of(self.store, self.task, self.spec, digests)
        if cached is None:
            self.prefix = keys.attempt_prefix(tenant, self.task.job_id, stage, self.id)
            return self._work(scratch, inputs, digests)
        output = cached.find()
        self.telemetry.cache(hit=output is not None)
        if output is not None:
            self.telemetry.cached(self.spec, output)
            return output.model_copy(update={"attempt": self.id, "cpu_seconds": 0.0})
        self.cached, self.prefix = cached, cached.prefix(self.id)
        cached.note(self.id)
        return self._work(scratch, inputs, digests)

    def _work(self, scratch: Path, inputs: dict[str, Path], digests: dict[str, str]) -> StageOutput:
        """Run the handler. Chunks and checkpoints are transferred meanwhile, the other files afterwards."""
        chunk_folder = scratch / "chunks"
        if self.spec.streams:  # A new folder takes as long as a request to the object store on some file systems.
            chunk_folder.mkdir()
        sequences = {role: self._sequence(role, source) for role, source in self.spec.streams.items()}
        folder = WorkFolder(self._work_path)
        on_stored = self.notices.stored if self.notices is not None else lambda *_: None
        uploads = ChunkUploader(
            self.store, self.worker, self.prefix, folder, self.telemetry, self._note_frames, on_stored
        )
        # What is not finished ends with a record that brings the finished task.
        counts = {role: len(sequence) for role, sequence in sequences.items() if role not in self.unfinished}
        downloads = ChunkDownloader(self.store, self.worker, sequences, counts, chunk_folder, self.telemetry)
        checkpoints = self._checkpoints(digests, folder) if self.spec.resumes else None
        output = self.task.request.output
        if self.spec.previews and output is not None and output.preview:
            self.preview = Preview(self.store, self.task, self.spec.name, self.id, folder)
        warnings = Warnings()
        marking = self.provenance.marking(self.task) if self.provenance is not None else Marking()

        def on_record(record: records.FromWorker) -> None:
            match record:
                case records.FileReady():
                    uploads.add(record)
                case records.ChunkRequest():
                    downloads.request(record)
                case records.Segment():
                    if self.preview is None:
                        raise WorkerDied("the worker sent a segment of a preview that nobody asked for")
                    self.preview.add(record)
                case records.Sign():
                    if self.provenance is None:
                        raise WorkerDied("the worker asked for a signature, and its stage signs nothing")
                    self.worker.send(self.provenance.sign(record, self.task, marking))
                case records.Checkpoint():
                    if checkpoints is None:
                        raise WorkerDied("the worker saved a checkpoint, and its stage does not resume")
                    checkpoints.add(record)
                case records.Warned():
                    warnings.add(record)
                case records.Progress():
                    self.progress(record.done, record.total)
                    if self.notices is not None:
                        self.notices.progress(record.done, record.total)
                case _:
                    self.telemetry.take(record)

        def stopped() -> bool:
            for failure in (downloads.failure, uploads.failure):
                if isinstance(failure, JobCancelled | StoreUnavailable) or (failure is not None and self.unfinished):
                    return True  # The worker stops by itself; if killed, it would have to load its model again.
                if failure is not None:
                    raise failure
            return self.cancelled()

        try:
            checkpoint = checkpoints.find(scratch / ROLE) if checkpoints else None
            work = records.Work(
                job=self.task,
                inputs={role: str(path) for role, path in inputs.items()},
                chunk_counts=counts,
                codecs={role: sequence.codec for role, sequence in self.unfinished.items()},
                scratch=str(folder.path),
                checkpoint=str(checkpoint) if checkpoint else None,
                marking=marking,
            )
            self._reached("work")
            result = self.worker.run(work, on_record, stopped, self.spec.deadline_s)
            for failure in (downloads.failure, uploads.failure):
                if failure is not None and isinstance(result, records.CancelledTask):
                    raise failure
            finished = _finished(result)
            self.waited_s = downloads.waited_s
            self._reached("put")
            artifacts = self._upload_files(finished, folder) | uploads.finish() | self._finish_preview()
            downloads.finish()
        finally:
            uploads.close()
            downloads.close()
            if checkpoints is not None:
                checkpoints.close()
            if self.preview is not None:
                self.preview.close()
            folder.close()
        return warnings.within(
            StageOutput(
                attempt=self.id,
                artifacts=artifacts,
                metadata=finished.metadata,
                cpu_seconds=round(finished.cpu_seconds, 3),
            )
        )

    def _reached(self, point: str) -> None:
        """A point of an attempt that started early is its task's, which is not there yet."""
        if not self.unfinished:
            fault_injection.reached(point)
        elif point == "work":
            fault_injection.reached("early")

    def _sequence(self, role: str, source: str) -> ChunkSequence:
        if role in self.unfinished:
            return self.unfinished[role]
        manifest = self.manifest(source, self.task)
        return ChunkSequence(manifest.chunks, self.task, manifest.codec)

    def manifest(self, source: str, task: RenderTask) -> ChunkManifest:
        """The manifest that the task names. Raises ArtifactMissing, ArtifactAltered, StoreUnavailable."""
        with naming(artifact_name(source)):
            return read_manifest(self.store.artifacts, artifact(task, source))

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

    def _finish_preview(self) -> dict[str, ArtifactRef]:
        """Store the playlist with its end; it is delivered with the other files."""
        playlist = self.preview.finish() if self.preview is not None else None
        if playlist is None:
            return {}
        key = keys.within(self.prefix, keys.PLAYLIST)
        return {PREVIEW_ROLE: self.store.artifacts.put_bytes(playlist.encode(), key)}

    def remember(self, output: StageOutput) -> None:
        """Store the winning output in the cache; best effort, because the task is already published."""
        if self.cached is not None:
            with best_effort():
                self.cached.store_output(output)

    def discard(self) -> None:
        """Delete the artifacts of an attempt that lost or failed. Janitor and lifecycle rules delete what remains."""
        if not self.prefix:
            return
        if self.preview is not None:
            with cancellable(never):
                self.preview.discard()
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
