"""Downloads the chunked sequences that a worker reads, while it works."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from pathlib import Path
from threading import RLock
from time import monotonic, time_ns

from shared.runtime.execute.chunk_sequence import ChunkSequence
from shared.runtime.execute.task_inputs import naming
from shared.runtime.execute.worker_process import Worker
from shared.runtime.execute.worker_telemetry import WorkerTelemetry
from shared.runtime.failures import WorkerDied
from shared.slot import records
from shared.storage.protocols import Storage

PREFETCH = 3
"""Chunks on disk for the worker: one in use, one ready, one in transfer."""


class ChunkDownloader:
    """Downloads the sequences that the worker reads: prefetches a few chunks, verifies each, then announces it.

    The worker may read faster than an unfinished sequence is made: its request then waits for the chunk.
    """

    def __init__(
        self,
        store: Storage,
        worker: Worker,
        sequences: Mapping[str, ChunkSequence],
        counts: Mapping[str, int],
        folder: Path,
        telemetry: WorkerTelemetry,
    ) -> None:
        """``counts``: the numbers of chunks that the worker is told, by role. For the other sequences it asks until
        there is no chunk, also for one that has become complete by now."""
        self._telemetry = telemetry
        self._started_ns: dict[str, int] = {}
        self._store = store
        self._worker = worker
        self._sequences = sequences
        self._folder = folder
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="download")
        self._futures: dict[tuple[str, int], Future[Path]] = {}
        self._requested: dict[str, int] = {}
        self._waiting: dict[str, tuple[records.ChunkRequest, float]] = {}
        """Requests for chunks that are not known yet, and since when, monotonic seconds."""
        self._lock = RLock()
        self._context = copy_context()
        self._counts = counts
        self.waited_s = 0.0
        """How long the worker has waited for chunks that did not exist yet, seconds."""
        self.failure: BaseException | None = None
        self.closed = False
        for role, sequence in sequences.items():
            sequence.on_change = partial(self._serve, role)

    def request(self, record: records.ChunkRequest) -> None:
        """Download this chunk and the next few; the worker is notified when this one is on disk.

        Raises WorkerDied unless the worker requests each chunk once and in order: nothing else bounds the disk usage.
        """
        role, sequence = record.role, self._sequences.get(record.role)
        if sequence is None or record.index >= self._counts.get(role, record.index + 1):
            raise WorkerDied("the worker requested a chunk that its task does not have")
        if record.index != self._requested.get(role, -1) + 1:
            raise WorkerDied("the worker requested a chunk out of order")
        with self._lock:
            self._requested[role] = record.index
            if record.index:
                self._drop(role, record.index - 1)
            self._started_ns.setdefault(role, time_ns())
            self._waiting[role] = record, monotonic()
            self._serve(role)

    def _serve(self, role: str) -> None:
        """Answer the worker's request as soon as its chunk is known, and prefetch. Any thread."""
        with self._lock:
            sequence, first = self._sequences[role], self._requested.get(role)
            if first is None or self.closed:
                return
            for index in range(first, min(first + PREFETCH, len(sequence))):
                if (role, index) not in self._futures:
                    context = self._context.copy()
                    self._futures[role, index] = self._pool.submit(context.run, self._fetch, role, index)
            if role not in self._waiting or (first >= len(sequence) and sequence.task is None):
                return
            record, since = self._waiting.pop(role)
            self.waited_s += monotonic() - since
        if first < len(sequence):
            future = self._futures[role, first]
            future.add_done_callback(lambda completed: self._announce(record, completed))
        elif sequence.task is not None:
            self._worker.send(records.ChunksEnd(role=role, job=sequence.task))

    def _drop(self, role: str, index: int) -> None:
        """Delete a chunk that the worker has finished with; a well-behaved worker has deleted it already."""
        previous = self._futures.get((role, index))
        if previous is None or not previous.done():
            raise WorkerDied("the worker requested a chunk before it had the previous one")
        if previous.exception() is None:
            previous.result().unlink(missing_ok=True)

    def _fetch(self, role: str, index: int) -> Path:
        path = self._folder / f"{role}-{index:05d}"
        with naming(f"chunk {index} of the {role}"):
            self._store.artifacts.get(self._sequences[role][index].ref, path)
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
            self._telemetry.moved("get", role, self._sequences[role].size, since)

    def close(self) -> None:
        """Cancel transfers that have not started; wait for the others."""
        with self._lock:
            self.closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
