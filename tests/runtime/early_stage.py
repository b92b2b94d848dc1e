"""A stage with slots that can start early: notices and records go in, on the real broker and object store."""

import uuid
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Queue
from typing import Any

from shared.messages.chunk_notice import ChunkNotice
from shared.messages.task import RenderTask, StageOutput
from shared.runtime.consume.assignment import Completions, PartitionAssignment, Record
from shared.runtime.execute.early_attempt import EarlyAttempt
from shared.runtime.execute.slot_worker import SlotWorker
from shared.runtime.execute.worker_process import WorkerProcess
from shared.runtime.execute.worker_slots import SlotClock, WorkerSlots
from shared.runtime.process.early_starts import EarlyStarts
from shared.runtime.settings import RuntimeSettings
from shared.storage import keys, markers
from shared.storage.manifest import Chunk, ChunkManifest, write_manifest
from tests.runtime import real_stage
from tests.runtime.real_stage import RealStage

SPEC = real_stage.spec(streams={"frames": "audio/frames"}, starts_early=True)
TOPIC = "render.face"


@dataclass
class Maker:
    """An attempt of the stage before: it stores chunks and announces them."""

    stage: "EarlyStage"
    task: RenderTask
    attempt: str = field(default_factory=lambda: uuid.uuid4().hex)
    chunks: list[Chunk] = field(default_factory=list)

    @property
    def tenant(self) -> str:
        return self.task.request.tenant

    @property
    def folder(self) -> str:
        return keys.attempt_prefix(self.tenant, self.task.job_id, "audio", self.attempt)

    def store(self, text: str) -> Chunk:
        """Store a chunk without a notice."""
        key = f"{self.folder}frames-{len(self.chunks):05d}.bin"
        chunk = Chunk(ref=self.stage.real.store.artifacts.put_bytes(text.encode(), key), frames=1)
        self.chunks.append(chunk)
        return chunk

    def announce(self, text: str, **fields: Any) -> None:
        """Store a chunk and announce it."""
        chunk, index = self.store(text), len(self.chunks) - 1
        values = {
            "tenant": self.tenant,
            "job_id": self.task.job_id,
            "stage": "audio",
            "attempt": self.attempt,
            "role": "frames",
            "index": index,
            "ref": chunk.ref,
            "frames": chunk.frames,
            "remaining_s": 1.0,
            "topic": TOPIC,
            "partition": 0,
            "task": self.task if index == 0 else None,
        }
        self.stage.early.take(ChunkNotice(**{**values, **fields}))

    def finished(self) -> RenderTask:
        """The task of the reading stage, when this attempt has won."""
        frames = sum(chunk.frames for chunk in self.chunks)
        manifest = ChunkManifest(role="frames", chunks=tuple(self.chunks), frames=frames)
        ref = write_manifest(self.stage.real.store.artifacts, f"{self.folder}frames.json", manifest)
        return self.task.with_output("audio", StageOutput(attempt=self.attempt, artifacts={"frames": ref}))


class EarlyStage:
    """The face stage, reading chunks that the audio stage makes."""

    def __init__(self, prefix: str, scratch: Path, slots: int = 1) -> None:
        self.real = RealStage(prefix, scratch, spec=SPEC)
        self.completions = Completions()
        self.fatal: list[str] = []
        self.assignment = PartitionAssignment(TOPIC, 0)
        make = partial(WorkerProcess, SPEC, "puppet", scratch=scratch)
        workers = [SlotWorker("face", SPEC.handler, make) for _ in range(slots)]
        self.slots = WorkerSlots(
            "face", workers, self.real.processor.handle, self.completions, SlotClock(), self.fatal.append
        )
        self.workers = workers
        self._counts: dict[EarlyAttempt, Queue[int]] = {}
        start_early = self.slots.start_early
        self.slots.start_early = lambda make: start_early(lambda worker: self._counted(make(worker)))  # type: ignore[method-assign]
        self.early = EarlyStarts(
            SPEC,
            RuntimeSettings(topic_prefix=prefix, free_space_reserve_mb=0),
            self.real.store,
            self.slots,
            self.real.disk,
            lambda topic, partition: self.assignment if (topic, partition) == (TOPIC, 0) else None,
            self.real.cancelled.has,
            lambda: True,
        )
        self.slots.start()
        for slot in self.slots._slots:
            assert slot.ready.wait(60)

    def maker(self, do: str = "join chunks", tenant: str = "default", **labels: str) -> Maker:
        return Maker(self, real_stage.task(do, tenant=tenant, **labels))

    def started(self, maker: Maker) -> EarlyAttempt:
        """The early attempt at the maker's chunks; it must have been started."""
        early = self.early._jobs[maker.tenant, maker.task.job_id].early
        assert early is not None, "no early start"
        return early

    def read(self, early: EarlyAttempt) -> "Queue[int]":
        """The number of chunks that the worker has read, after each."""
        return self._counts[early]

    def _counted(self, early: EarlyAttempt) -> EarlyAttempt:
        """Before it starts: the first chunk may be read at once."""
        counts = self._counts[early] = Queue()
        early._progress = lambda done, _: counts.put(done)
        return early

    def submit(self, task: RenderTask, crashes: int = 0) -> None:
        record = Record(TOPIC, 0, 0, task.job_id.encode(), task.dump(), [], 1, crashes=crashes)
        self.slots.submit(record, self.assignment)

    def settle(self, task: RenderTask) -> list[str]:
        """Process the task's record; returns the types of the events since the last one."""
        self.submit(task)
        assert self.completions.get(timeout=60).settled
        types = self.real.event_types()
        self.real.producers.events.queue.clear()
        return types

    def output(self, task: RenderTask) -> StageOutput:
        output = markers.read_completion(self.real.store.documents, task.request.tenant, task.job_id, "face")
        assert output is not None
        return output

    def joined(self, task: RenderTask) -> str:
        """What the handler read."""
        return str(self.output(task).metadata["much"])

    def close(self) -> None:
        self.slots.close()
        self.real.close()
