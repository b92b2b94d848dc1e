"""Chunked sequences while a worker works: uploads what it uploads, prefetches what it asks for."""

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
from shared.runtime.execute.worker_process import Worker
from shared.runtime.execute.worker_telemetry import WorkerTelemetry
from shared.runtime.failures import WorkerDied
from shared.slot import records
from shared.slot.context import MAX_CHUNK_UPLOADS
from shared.storage import keys
from shared.storage.manifest import Chunk, ChunkManifest, write_manifest
from shared.storage.protocols import Storage

PREFETCH = 3
"""Chunks on disk ahead of the worker: one in use, one ready, one under way."""


@contextmanager
def misfit() -> Iterator[None]:
    """Turn what a manifest does not take into WorkerDied: the worker uploaded it."""
    try:
        yield
    except ValidationError as e:
        raise WorkerDied(f"the worker uploaded chunks that fit no manifest: {e.errors()[0]['msg']}") from e


class ChunkUploader:
    """Sequences that the worker uploads: stored in order of their numbers while it makes the next."""

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
        self._since: dict[str, int] = {}
        self._lock = Lock()
        self._under_way = 0
        self.failure: BaseException | None = None

    def add(self, record: records.FileReady) -> None:
        """Begin the upload of the next chunk.

        Raises WorkerDied for a worker that does not wait for those under way, and what ``before_first`` raises.
        """
        with self._lock:
            self._under_way += 1
            if self._under_way > MAX_CHUNK_UPLOADS:
                raise WorkerDied(f"the worker uploaded more than {MAX_CHUNK_UPLOADS} chunks at a time")
        if not self._chunks:
            self._before_first()
        self._since.setdefault(record.role, time_ns())
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
                self._under_way -= 1
            self._worker.send(records.ChunkUploaded())
        except BaseException as e:
            self.failure = e  # The worker may wait for room that never comes; the slot's thread sees this.
            raise
        with misfit():
            return Chunk(ref=ref, frames=record.frames)

    def finish(self) -> dict[str, ArtifactRef]:
        """Wait for every chunk, then write each sequence's manifest: its presence says that all is there."""
        manifests: dict[str, ArtifactRef] = {}
        for role, futures in self._chunks.items():
            chunks = tuple(f.result() for f in futures)
            with misfit():
                manifest = ChunkManifest(role=role, chunks=chunks, frames=sum(c.frames for c in chunks))
            key = keys.within(self._prefix, f"{role}.json")
            manifests[role] = write_manifest(self._store.artifacts, key, manifest)
            self._telemetry.moved("put", role, sum(c.ref.size for c in chunks), self._since[role])
        return manifests

    def close(self) -> None:
        """Drop what has not begun; wait for what has."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class ChunkDownloader:
    """Sequences that the worker reads: fetched a few chunks ahead, verified, then announced."""

    def __init__(
        self,
        store: Storage,
        worker: Worker,
        manifests: dict[str, ChunkManifest],
        folder: Path,
        telemetry: WorkerTelemetry,
    ) -> None:
        self._telemetry = telemetry
        self._since: dict[str, int] = {}
        self._store = store
        self._worker = worker
        self._manifests = manifests
        self._folder = folder
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="download")
        self._futures: dict[tuple[str, int], Future[Path]] = {}
        self._asked: dict[str, int] = {}
        self.failure: BaseException | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Chunks by role."""
        return {role: len(manifest.chunks) for role, manifest in self._manifests.items()}

    def request(self, record: records.ChunkRequest) -> None:
        """Fetch this chunk and the next few; the worker learns of this one when it is there.

        Raises WorkerDied unless it asks for one after the other, each once: nothing else bounds what lies on disk.
        """
        if record.role not in self._manifests or record.index >= self.counts[record.role]:
            raise WorkerDied("the worker asked for a chunk that its task does not have")
        if record.index != self._asked.get(record.role, -1) + 1:
            raise WorkerDied("the worker asked for a chunk out of turn")
        self._asked[record.role] = record.index
        if record.index:
            self._drop(record.role, record.index - 1)
        self._since.setdefault(record.role, time_ns())
        last = len(self._manifests[record.role].chunks)
        for index in range(record.index, min(record.index + PREFETCH, last)):
            if (record.role, index) not in self._futures:
                context = copy_context()
                self._futures[record.role, index] = self._pool.submit(context.run, self._fetch, record.role, index)
        future = self._futures[record.role, record.index]
        future.add_done_callback(lambda done: self._announce(record, done))

    def _drop(self, role: str, index: int) -> None:
        """The worker is through with a chunk, and has deleted it if it keeps to the rules."""
        before = self._futures[role, index]
        if not before.done():
            raise WorkerDied("the worker asked for a chunk before it had the one before")
        if before.exception() is None:
            before.result().unlink(missing_ok=True)

    def _fetch(self, role: str, index: int) -> Path:
        path = self._folder / f"{role}-{index:05d}"
        chunk = self._manifests[role].chunks[index]
        self._store.artifacts.get(chunk.ref, path)
        return path

    def _announce(self, record: records.ChunkRequest, done: "Future[Path]") -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            # The worker waits for a chunk that will not come; the slot's thread sees this and ends the attempt.
            self.failure = error
            return
        try:
            self._worker.send(records.ChunkReady(role=record.role, index=record.index, path=str(done.result())))
        except Exception as e:  # noqa: BLE001 - a future's callback swallows what it raises
            self.failure = e

    def finish(self) -> None:
        """Report the sequences that were read."""
        for role, since in self._since.items():
            self._telemetry.moved("get", role, sum(c.ref.size for c in self._manifests[role].chunks), since)

    def close(self) -> None:
        """Drop what has not begun; wait for what has."""
        self._pool.shutdown(wait=True, cancel_futures=True)
