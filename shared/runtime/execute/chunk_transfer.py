"""Transfers chunked sequences while a worker works: stores the chunks that it writes, prefetches those it reads."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from threading import Lock
from time import time_ns

from pydantic import ValidationError

from shared.messages.chunks import MAX_CHUNK_BYTES
from shared.messages.refs import ArtifactRef
from shared.runtime.execute.scratch import WorkFolder
from shared.runtime.execute.task_inputs import naming
from shared.runtime.execute.worker_process import Worker
from shared.runtime.execute.worker_telemetry import WorkerTelemetry
from shared.runtime.failures import WorkerDied
from shared.slot import records
from shared.slot.context import MAX_CHUNK_UPLOADS
from shared.storage import keys
from shared.storage.manifest import Chunk, ChunkManifest, write_manifest
from shared.storage.protocols import Storage

PREFETCH = 3
"""Chunks on disk for the worker: one in use, one ready, one in transfer."""


@contextmanager
def invalid_chunks() -> Iterator[None]:
    """Turn a validation error of a manifest into WorkerDied: the worker uploaded the chunks."""
    try:
        yield
    except ValidationError as e:
        raise WorkerDied(f"the worker uploaded invalid chunks: {e.errors()[0]['msg']}") from e


class ChunkUploader:
    """Stores the sequences that the worker uploads, in order, while it makes the next chunk."""

    def __init__(
        self,
        store: Storage,
        worker: Worker,
        prefix: str,
        folder: WorkFolder,
        telemetry: WorkerTelemetry,
        before_first: Callable[[], None],
    ) -> None:
        """``before_first`` is called before the first chunk is stored."""
        self._store = store
        self._folder = folder
        self._before_first = before_first
        self._telemetry = telemetry
        self._worker = worker
        self._prefix = prefix
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="upload")
        self._chunks: dict[str, list[Future[Chunk]]] = {}
        self._started_ns: dict[str, int] = {}
        self._lock = Lock()
        self._active = 0
        self.failure: BaseException | None = None

    def add(self, record: records.FileReady) -> None:
        """Start the upload of the next chunk.

        Raises WorkerDied for a worker that does not wait for earlier uploads, and what ``before_first`` raises.
        """
        with self._lock:
            self._active += 1
            if self._active > MAX_CHUNK_UPLOADS:
                raise WorkerDied(f"the worker uploaded more than {MAX_CHUNK_UPLOADS} chunks at a time")
        if not self._chunks:
            self._before_first()
        self._started_ns.setdefault(record.role, time_ns())
        ordered = self._chunks.setdefault(record.role, [])
        key = keys.within(self._prefix, f"{record.role}-{len(ordered):05d}.bin")
        context = copy_context()
        ordered.append(self._pool.submit(context.run, self._upload, record, key))

    def _upload(self, record: records.FileReady, key: str) -> Chunk:
        try:
            with self._folder.opened(record.path) as path:
                if path.stat().st_size > MAX_CHUNK_BYTES:
                    raise WorkerDied(f"the worker uploaded a chunk of more than {MAX_CHUNK_BYTES} bytes")
                ref = self._store.artifacts.put(path, key, frames=True)
            self._folder.remove(record.path)
            with self._lock:
                self._active -= 1
            self._worker.send(records.ChunkUploaded())
        except BaseException as e:
            self.failure = e  # The worker may wait for this upload for ever; the slot's thread reads this field.
            raise
        with invalid_chunks():
            return Chunk(ref=ref, frames=record.frames)

    def finish(self) -> dict[str, ArtifactRef]:
        """Wait for every chunk, then write each sequence's manifest, whose presence means that all chunks are stored.

        Returns the manifests' references by role. Raises what an upload raised.
        """
        manifests: dict[str, ArtifactRef] = {}
        for role, futures in self._chunks.items():
            chunks = tuple(f.result() for f in futures)
            with invalid_chunks():
                manifest = ChunkManifest(role=role, chunks=chunks, frames=sum(c.frames for c in chunks))
            key = keys.within(self._prefix, f"{role}.json")
            manifests[role] = write_manifest(self._store.artifacts, key, manifest)
            self._telemetry.moved("put", role, sum(c.ref.size for c in chunks), self._started_ns[role])
        return manifests

    def close(self) -> None:
        """Cancel transfers that have not started; wait for the others."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class ChunkDownloader:
    """Downloads the sequences that the worker reads: prefetches a few chunks, verifies each, then announces it."""

    def __init__(
        self,
        store: Storage,
        worker: Worker,
        manifests: dict[str, ChunkManifest],
        folder: Path,
        telemetry: WorkerTelemetry,
    ) -> None:
        self._telemetry = telemetry
        self._started_ns: dict[str, int] = {}
        self._store = store
        self._worker = worker
        self._manifests = manifests
        self._folder = folder
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="download")
        self._futures: dict[tuple[str, int], Future[Path]] = {}
        self._requested: dict[str, int] = {}
        self.failure: BaseException | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Number of chunks by role."""
        return {role: len(manifest.chunks) for role, manifest in self._manifests.items()}

    def request(self, record: records.ChunkRequest) -> None:
        """Download this chunk and the next few; the worker is notified when this one is on disk.

        Raises WorkerDied unless the worker requests each chunk once and in order: nothing else bounds the disk usage.
        """
        if record.role not in self._manifests or record.index >= self.counts[record.role]:
            raise WorkerDied("the worker requested a chunk that its task does not have")
        if record.index != self._requested.get(record.role, -1) + 1:
            raise WorkerDied("the worker requested a chunk out of order")
        self._requested[record.role] = record.index
        if record.index:
            self._drop(record.role, record.index - 1)
        self._started_ns.setdefault(record.role, time_ns())
        last = len(self._manifests[record.role].chunks)
        for index in range(record.index, min(record.index + PREFETCH, last)):
            if (record.role, index) not in self._futures:
                context = copy_context()
                self._futures[record.role, index] = self._pool.submit(context.run, self._fetch, record.role, index)
        future = self._futures[record.role, record.index]
        future.add_done_callback(lambda completed: self._announce(record, completed))

    def _drop(self, role: str, index: int) -> None:
        """Delete a chunk that the worker has finished with; a well-behaved worker has deleted it already."""
        previous = self._futures[role, index]
        if not previous.done():
            raise WorkerDied("the worker requested a chunk before it had the previous one")
        if previous.exception() is None:
            previous.result().unlink(missing_ok=True)

    def _fetch(self, role: str, index: int) -> Path:
        path = self._folder / f"{role}-{index:05d}"
        chunk = self._manifests[role].chunks[index]
        with naming(f"chunk {index} of the {role}"):
            self._store.artifacts.get(chunk.ref, path)
        return path

    def _announce(self, record: records.ChunkRequest, completed: "Future[Path]") -> None:
        if completed.cancelled():
            return
        error = completed.exception()
        if error is not None:
            # The worker waits for a chunk that never arrives; the slot's thread reads this and ends the attempt.
            self.failure = error
            return
        try:
            self._worker.send(records.ChunkReady(role=record.role, index=record.index, path=str(completed.result())))
        except Exception as e:  # noqa: BLE001 - a future's callback swallows what it raises
            self.failure = e

    def finish(self) -> None:
        """Export a span for each sequence that was read."""
        for role, since in self._started_ns.items():
            self._telemetry.moved("get", role, sum(c.ref.size for c in self._manifests[role].chunks), since)

    def close(self) -> None:
        """Cancel transfers that have not started; wait for the others."""
        self._pool.shutdown(wait=True, cancel_futures=True)
