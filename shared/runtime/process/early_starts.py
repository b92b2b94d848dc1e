"""Starts a stage's work before its task is there: on the chunks that the stage before has announced.

An early start uses a slot that has nothing to do, and gives it up to any record. So it delays no task, however long the
stage before takes; but its own work is lost then, so it waits until the stage before is about to end.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from shared.messages.chunk_notice import ChunkNotice
from shared.messages.chunks import FrameCodec
from shared.messages.task import RenderTask
from shared.runtime.consume.assignment import PartitionAssignment
from shared.runtime.execute.attempt import Attempt
from shared.runtime.execute.chunk_sequence import ChunkSequence
from shared.runtime.execute.deferred_telemetry import DeferredTelemetry
from shared.runtime.execute.early_attempt import EarlyAttempt
from shared.runtime.execute.provenance import Provenance
from shared.runtime.execute.scratch import DiskSpace
from shared.runtime.execute.worker_process import Worker
from shared.runtime.execute.worker_slots import WorkerSlots
from shared.runtime.settings import RuntimeSettings
from shared.slot.spec import StageSpec
from shared.storage import keys
from shared.storage.manifest import Chunk
from shared.storage.protocols import Storage

MAX_ANNOUNCED = 32
"""Attempts of the stage before whose chunks are remembered; the one that was silent longest is forgotten."""
GRACE_S = 30.0
"""How much longer than expected the stage before may take, seconds, beside once more the time it has announced."""

log = structlog.get_logger()


def source_of(spec: StageSpec) -> str | None:
    """The sequence, ``<stage>/<role>``, on which the stage can start early; None where it can't."""
    sources = list(spec.streams.values())
    return sources[0] if spec.starts_early and len(sources) == 1 else None


@dataclass(slots=True)
class _Announced:
    """The chunks of an attempt of the stage before, which still runs."""

    task: RenderTask
    attempt: str
    topic: str
    partition: int
    codec: FrameCodec
    chunks: list[Chunk] = field(default_factory=list)
    expires: float = 0.0
    """When an early start on it ends, monotonic seconds."""
    early: EarlyAttempt | None = None


class EarlyStarts:
    """Decides which attempts start early. Used by one thread, which reads the notices."""

    def __init__(
        self,
        spec: StageSpec,
        settings: RuntimeSettings,
        store: Storage,
        slots: WorkerSlots,
        disk: DiskSpace,
        assignment: Callable[[str, int], PartitionAssignment | None],
        cancelled: Callable[[str, str], bool],
        open_for_work: Callable[[], bool],
        provenance: Provenance | None = None,
    ) -> None:
        """``assignment`` returns the assignment of a partition to this process, None for another one; ``cancelled``
        whether a job is cancelled, by tenant and id; ``open_for_work`` whether the service starts tasks at all."""
        source = source_of(spec)
        if source is None:
            raise ValueError(f"the stage {spec.name} can't start early")
        self._spec = spec
        self._source = source
        self._settings = settings
        self._store = store
        self._slots = slots
        self._disk = disk
        self._assignment = assignment
        self._cancelled = cancelled
        self._open = open_for_work
        self._provenance = provenance
        self._jobs: OrderedDict[tuple[str, str], _Announced] = OrderedDict()

    def take(self, notice: ChunkNotice) -> None:
        """A chunk is stored."""
        if f"{notice.stage}/{notice.role}" != self._source:
            return
        job = (notice.tenant, notice.job_id)
        if notice.index == 0:
            self._begin(job, notice)
        announced = self._jobs.get(job)
        if announced is None or announced.attempt != notice.attempt:
            return
        folder = keys.attempt_prefix(*job, notice.stage, notice.attempt)
        if notice.index != len(announced.chunks) or notice.ref.key.rpartition("/")[0] + "/" != folder:
            return  # A notice is missing: the task will name the other chunks.
        chunk = Chunk(ref=notice.ref, frames=notice.frames)
        announced.chunks.append(chunk)
        self._jobs.move_to_end(job)
        remaining_s = notice.remaining_s
        announced.expires = time.monotonic() + GRACE_S + 2 * (remaining_s or 0.0)
        if announced.early is not None:
            announced.early.stored(notice.index, chunk)
        elif remaining_s is not None and remaining_s <= self._settings.overlap_max_s:
            self._start(job, announced)

    def check(self) -> bool:
        """End early starts whose task will not come here; returns whether some are left, or may begin. Call it several
        times a second as long as it does."""
        now = time.monotonic()
        for job, announced in list(self._jobs.items()):
            early = announced.early
            if early is not None and (early.taken or early.ended):
                self._forget(job, "ended")
            elif self._cancelled(*job):
                self._forget(job, "cancelled")
            elif not self._is_held(announced):
                self._forget(job, "partition_lost")
            elif now > announced.expires:
                self._forget(job, "expired")
        return bool(self._jobs)

    def _begin(self, job: tuple[str, str], notice: ChunkNotice) -> None:
        """An attempt has stored its first chunk. It replaces an earlier one: that has died, or will lose."""
        self._forget(job, "superseded")
        if notice.task is None:
            return
        announced = _Announced(notice.task, notice.attempt, notice.topic, notice.partition, notice.codec)
        if self._is_held(announced) and self._is_of(job, notice.task):
            self._jobs[job] = announced
        while len(self._jobs) > MAX_ANNOUNCED:
            self._forget(next(iter(self._jobs)), "forgotten")

    @staticmethod
    def _is_of(job: tuple[str, str], task: RenderTask) -> bool:
        return (task.request.tenant, task.job_id) == job

    def _is_held(self, announced: _Announced) -> bool:
        assignment = self._assignment(announced.topic, announced.partition)
        return assignment is not None and assignment.held and not assignment.revoking

    def _start(self, job: tuple[str, str], announced: _Announced) -> None:
        """Start, if a slot has nothing to do and there is room on the disk."""
        task = announced.task
        if not self._open() or self._cancelled(*job) or self._disk.shortage(self._spec.needs_bytes(task)) is not None:
            return
        sequence, telemetry = ChunkSequence(announced.chunks, codec=announced.codec), DeferredTelemetry()
        role = next(iter(self._spec.streams))

        def make(worker: Worker) -> EarlyAttempt:
            attempt = Attempt(
                task=task,
                spec=self._spec,
                store=self._store,
                settings=self._settings,
                worker=worker,
                cancelled=lambda: False,
                progress=lambda *_: None,
                telemetry=telemetry,
                scratch=self._disk.folder,
                unfinished={role: sequence},
                provenance=self._provenance,
            )
            return EarlyAttempt(attempt, self._source, announced.attempt, sequence, self._disk, telemetry)

        announced.early = self._slots.start_early(make)
        if announced.early is not None:
            log.info("early_start", job=task.job_id, tenant=task.request.tenant, chunks=len(announced.chunks))

    def _forget(self, job: tuple[str, str], reason: str) -> None:
        announced = self._jobs.pop(job, None)
        if announced is not None and announced.early is not None and not announced.early.taken:
            announced.early.withdraw(reason)
