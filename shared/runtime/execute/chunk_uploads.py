"""Stores the chunked sequences that a worker writes, while it writes them."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from threading import Lock
from time import time_ns

from pydantic import ValidationError

from shared.messages.chunks import MAX_CODED_CHUNK_BYTES, FrameCodec
from shared.messages.refs import ArtifactRef
from shared.runtime.execute.scratch import WorkFolder
from shared.runtime.execute.worker_process import Worker
from shared.runtime.execute.worker_telemetry import WorkerTelemetry
from shared.runtime.failures import WorkerDied
from shared.slot import records
from shared.slot.context import MAX_CHUNK_UPLOADS
from shared.storage import keys
from shared.storage.artifacts import FRAMES_TAG
from shared.storage.manifest import Chunk, ChunkManifest, write_manifest
from shared.storage.protocols import Storage


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
        on_stored: Callable[[str, int, Chunk, FrameCodec], None] = lambda *_: None,
    ) -> None:
        """``before_first`` is called before the first chunk is stored. ``on_stored`` receives role, number, reference
        and codec of each stored chunk, in order; it must not raise."""
        self._store = store
        self._folder = folder
        self._before_first = before_first
        self._on_stored = on_stored
        self._stored: dict[str, dict[int, Chunk]] = {}
        self._notified: dict[str, int] = {}
        self._notifying = Lock()
        self._telemetry = telemetry
        self._worker = worker
        self._prefix = prefix
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="upload")
        self._chunks: dict[str, list[Future[Chunk]]] = {}
        self._codecs: dict[str, FrameCodec] = {}
        self._started_ns: dict[str, int] = {}
        self._lock = Lock()
        self._active = 0
        self.failure: BaseException | None = None

    def add(self, record: records.FileReady) -> None:
        """Start the upload of the next chunk.

        Raises WorkerDied for a worker that does not wait for earlier uploads or changes the codec, and what
        ``before_first`` raises.
        """
        with self._lock:
            self._active += 1
            if self._active > MAX_CHUNK_UPLOADS:
                raise WorkerDied(f"the worker uploaded more than {MAX_CHUNK_UPLOADS} chunks at a time")
        if not self._chunks:
            self._before_first()
        self._started_ns.setdefault(record.role, time_ns())
        if self._codecs.setdefault(record.role, record.codec) != record.codec:
            raise WorkerDied("the worker uploaded chunks of one sequence with different codecs")
        ordered = self._chunks.setdefault(record.role, [])
        key = keys.within(self._prefix, f"{record.role}-{len(ordered):05d}.bin")
        context = copy_context()
        ordered.append(self._pool.submit(context.run, self._upload, record, len(ordered), key))

    def _upload(self, record: records.FileReady, index: int, key: str) -> Chunk:
        try:
            with self._folder.opened(record.path) as path:
                if path.stat().st_size > MAX_CODED_CHUNK_BYTES:
                    raise WorkerDied(f"the worker uploaded a chunk of more than {MAX_CODED_CHUNK_BYTES} bytes")
                ref = self._store.artifacts.put(path, key, tag=FRAMES_TAG)
            self._folder.remove(record.path)
            with self._lock:
                self._active -= 1
            self._worker.send(records.ChunkUploaded())
        except BaseException as e:
            self.failure = e  # The worker may wait for this upload for ever; the slot's thread reads this field.
            raise
        with invalid_chunks():
            chunk = Chunk(ref=ref, frames=record.frames)
        self._notify(record.role, index, chunk)
        return chunk

    def _notify(self, role: str, index: int, chunk: Chunk) -> None:
        """Pass on the chunks up to the first that is not stored yet."""
        with self._notifying:
            stored = self._stored.setdefault(role, {})
            stored[index] = chunk
            while (following := self._notified.get(role, 0)) in stored:
                self._notified[role] = following + 1
                self._on_stored(role, following, stored.pop(following), self._codecs[role])

    def finish(self) -> dict[str, ArtifactRef]:
        """Wait for every chunk, then write each sequence's manifest, whose presence means that all chunks are stored.

        Returns the manifests' references by role. Raises what an upload raised.
        """
        manifests: dict[str, ArtifactRef] = {}
        for role, futures in self._chunks.items():
            chunks = tuple(f.result() for f in futures)
            with invalid_chunks():
                frames, codec = sum(c.frames for c in chunks), self._codecs[role]
                manifest = ChunkManifest(role=role, chunks=chunks, frames=frames, codec=codec)
            key = keys.within(self._prefix, f"{role}.json")
            manifests[role] = write_manifest(self._store.artifacts, key, manifest)
            self._telemetry.moved("put", role, sum(c.ref.size for c in chunks), self._started_ns[role])
        return manifests

    def close(self) -> None:
        """Cancel transfers that have not started; wait for the others."""
        self._pool.shutdown(wait=True, cancel_futures=True)
