"""Chunks of sequences on their way to a worker."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from queue import Queue

import pytest
from opentelemetry.sdk.trace import TracerProvider

from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.runtime.execute.chunk_downloads import ChunkDownloader
from shared.runtime.execute.chunk_sequence import ChunkSequence
from shared.runtime.execute.worker_telemetry import WorkerTelemetry
from shared.runtime.failures import WorkerDied
from shared.slot import records
from shared.storage import keys
from shared.storage.manifest import Chunk, ChunkManifest
from shared.storage.object_store import ObjectStore

ANSWER_S = 60.0
INPUT = InputRef(key="default/x")
TASK = RenderTask(job_id="j", request_id="r", request=RenderRequest(portrait=INPUT, speech=INPUT), submitted_ms=1)
Start = Callable[[ChunkSequence, Mapping[str, int]], ChunkDownloader]


class Worker:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.got = Queue[object]()

    def send(self, record: object) -> None:
        self.got.put(record)


@pytest.fixture
def chunks(store: ObjectStore) -> tuple[Chunk, ...]:
    """Two chunks in the object store."""
    prefix = keys.attempt_prefix("default", uuid.uuid4().hex, "infer", "a1")
    refs = [store.artifacts.put_bytes(bytes([n]) * 600, f"{prefix}frames-{n:05d}.i420") for n in range(2)]
    return tuple(Chunk(ref=ref, frames=1) for ref in refs)


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def start(store: ObjectStore, worker: Worker, tmp_path: Path) -> Iterator[Start]:
    started: list[ChunkDownloader] = []

    def downloads(sequence: ChunkSequence, counts: Mapping[str, int]) -> ChunkDownloader:
        telemetry = WorkerTelemetry("encode", TracerProvider().get_tracer("test"))
        started.append(
            ChunkDownloader(store, worker, {"frames": sequence}, counts, tmp_path, telemetry)  # type: ignore[arg-type]
        )
        return started[-1]

    yield downloads
    for one in started:
        one.close()


def test_sequence_that_completes_before_the_worker_starts_ends_with_a_record(
    start: Start, worker: Worker, chunks: tuple[Chunk, ...]
) -> None:
    """The worker of an early start asks until it is told the end, however soon the sequence is complete."""
    sequence = ChunkSequence(chunks[:1])
    sequence.complete(ChunkManifest(role="frames", chunks=chunks, frames=2), TASK)
    downloads = start(sequence, {})
    for index in range(2):
        downloads.request(records.ChunkRequest(role="frames", index=index))
        ready = worker.got.get(timeout=ANSWER_S)
        assert isinstance(ready, records.ChunkReady)
        assert Path(ready.path).read_bytes() == bytes([index]) * 600
    downloads.request(records.ChunkRequest(role="frames", index=2))
    assert worker.got.get(timeout=ANSWER_S) == records.ChunksEnd(role="frames", job=TASK)


def test_request_waits_for_a_chunk_that_is_still_made(start: Start, worker: Worker, chunks: tuple[Chunk, ...]) -> None:
    sequence = ChunkSequence()
    downloads = start(sequence, {})
    downloads.request(records.ChunkRequest(role="frames", index=0))
    assert worker.got.empty()
    sequence.add(0, chunks[0])
    assert isinstance(worker.got.get(timeout=ANSWER_S), records.ChunkReady)


def test_worker_that_knows_the_number_asks_for_no_further_chunk(start: Start, chunks: tuple[Chunk, ...]) -> None:
    downloads = start(ChunkSequence(chunks, TASK), {"frames": 2})
    with pytest.raises(WorkerDied, match="does not have"):
        downloads.request(records.ChunkRequest(role="frames", index=2))
    with pytest.raises(WorkerDied, match="does not have"):
        downloads.request(records.ChunkRequest(role="sound", index=0))


def test_worker_asks_for_chunks_in_order(start: Start, chunks: tuple[Chunk, ...]) -> None:
    with pytest.raises(WorkerDied, match="out of order"):
        start(ChunkSequence(chunks, TASK), {"frames": 2}).request(records.ChunkRequest(role="frames", index=1))


def test_chunk_that_cannot_be_announced_ends_the_attempt(
    start: Start, worker: Worker, chunks: tuple[Chunk, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise ValueError("not serialisable")

    monkeypatch.setattr(worker, "send", fail)
    downloads = start(ChunkSequence(chunks, TASK), {"frames": 2})
    downloads.request(records.ChunkRequest(role="frames", index=0))
    downloads.close()  # Waits for the transfers and what follows from them.
    assert isinstance(downloads.failure, ValueError)
