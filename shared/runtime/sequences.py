"""Chunked sequences while a child works: uploads what it ships, prefetches what it asks for."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from time import time_ns

from shared.messages.refs import ArtifactRef
from shared.runtime.patience import Patience
from shared.runtime.reports import Reports
from shared.runtime.slot_process import ChildDied, SlotProcess
from shared.runtime.store import Store
from shared.runtime.work_folder import WorkFolder
from shared.slot import records
from shared.storage import keys
from shared.storage.manifest import Chunk, ChunkManifest, write_manifest

PREFETCH = 3
"""Chunks on disk ahead of the child: one in use, one ready, one under way."""


class Uploads:
    """Sequences that the child ships: stored in order of their numbers while it makes the next."""

    def __init__(
        self,
        store: Store,
        patience: Patience,
        child: SlotProcess,
        prefix: str,
        folder: WorkFolder,
        reports: Reports,
        before_first: Callable[[], None],
    ) -> None:
        """``before_first`` is called before the first chunk is stored."""
        self._store = store
        self._folder = folder
        self._before_first = before_first
        self._reports = reports
        self._patience = patience
        self._child = child
        self._prefix = prefix
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="upload")
        self._chunks: dict[str, list[Future[Chunk]]] = {}
        self._since: dict[str, int] = {}
        self.failure: BaseException | None = None

    def add(self, record: records.FileReady) -> None:
        """Begin the upload of the next chunk. Raises what ``before_first`` raises."""
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
                ref = self._patience(lambda: self._store.artifacts.put(path, key, frames=True))
            self._folder.remove(record.path)
            self._child.send(records.Shipped())
        except BaseException as e:
            self.failure = e  # The child may wait for room that never comes; the slot's thread sees this.
            raise
        return Chunk(ref=ref, frames=record.frames)

    def finish(self) -> dict[str, ArtifactRef]:
        """Wait for every chunk, then write each sequence's manifest: its presence says that all is there."""
        manifests: dict[str, ArtifactRef] = {}
        for role, futures in self._chunks.items():
            chunks = tuple(f.result() for f in futures)
            manifest = ChunkManifest(role=role, chunks=chunks, frames=sum(c.frames for c in chunks))
            key = keys.within(self._prefix, f"{role}.json")
            manifests[role] = self._patience(lambda k=key, m=manifest: write_manifest(self._store.artifacts, k, m))  # type: ignore[misc]
            self._reports.moved("put", role, sum(c.ref.size for c in chunks), self._since[role])
        return manifests

    def close(self) -> None:
        """Drop what has not begun; wait for what has."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class Downloads:
    """Sequences that the child reads: fetched a few chunks ahead, verified, then announced."""

    def __init__(
        self,
        store: Store,
        patience: Patience,
        child: SlotProcess,
        manifests: dict[str, ChunkManifest],
        folder: Path,
        reports: Reports,
    ) -> None:
        self._reports = reports
        self._since: dict[str, int] = {}
        self._store = store
        self._patience = patience
        self._child = child
        self._manifests = manifests
        self._folder = folder
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="download")
        self._futures: dict[tuple[str, int], Future[Path]] = {}
        self.failure: BaseException | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Chunks by role."""
        return {role: len(manifest.chunks) for role, manifest in self._manifests.items()}

    def want(self, record: records.Want) -> None:
        """Fetch this chunk and the next few; the child learns of this one when it is there."""
        if record.role not in self._manifests or record.index >= self.counts[record.role]:
            raise ChildDied("the child asked for a chunk that its task does not have")
        self._since.setdefault(record.role, time_ns())
        last = len(self._manifests[record.role].chunks)
        for index in range(record.index, min(record.index + PREFETCH, last)):
            if (record.role, index) not in self._futures:
                context = copy_context()
                self._futures[record.role, index] = self._pool.submit(context.run, self._fetch, record.role, index)
        future = self._futures[record.role, record.index]
        future.add_done_callback(lambda done: self._announce(record, done))

    def _fetch(self, role: str, index: int) -> Path:
        path = self._folder / f"{role}-{index:05d}"
        chunk = self._manifests[role].chunks[index]
        self._patience(lambda: self._store.artifacts.get(chunk.ref, path))
        return path

    def _announce(self, record: records.Want, done: "Future[Path]") -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            # The child waits for a chunk that will not come; the slot's thread sees this and ends the attempt.
            self.failure = error
            return
        try:
            self._child.send(records.ChunkReady(role=record.role, index=record.index, path=str(done.result())))
        except Exception as e:  # noqa: BLE001 - a future's callback swallows what it raises
            self.failure = e

    def finish(self) -> None:
        """Report the sequences that were read."""
        for role, since in self._since.items():
            self._reports.moved("get", role, sum(c.ref.size for c in self._manifests[role].chunks), since)

    def close(self) -> None:
        """Drop what has not begun; wait for what has."""
        self._pool.shutdown(wait=True, cancel_futures=True)
