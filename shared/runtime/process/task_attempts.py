"""The attempts at one task in this process: after a death of the worker process, or on a full disk, the next follows at
once."""

from collections.abc import Callable

import structlog
from opentelemetry import trace
from opentelemetry.trace import Tracer

from shared.messages.codes import Rejected
from shared.messages.task import RenderTask, StageOutput
from shared.runtime.consume.assignment import PartitionAssignment, Record
from shared.runtime.disposition import JobContext
from shared.runtime.execute.attempt import Attempt
from shared.runtime.execute.chunk_notices import ChunkNotices
from shared.runtime.execute.early_attempt import EarlyAttempt
from shared.runtime.execute.provenance import Provenance
from shared.runtime.execute.room import Room
from shared.runtime.execute.scratch import DiskSpace
from shared.runtime.execute.worker_process import Worker
from shared.runtime.execute.worker_telemetry import WorkerTelemetry
from shared.runtime.failures import (
    CrashLoop,
    DiskFull,
    HandlerFailed,
    HandlerUnavailable,
    JobCancelled,
    JobExpired,
    WorkerDied,
    WorkerNotRestarted,
)
from shared.runtime.process.deadlines import Deadlines
from shared.runtime.retry_policy import best_effort
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settle.event_publisher import EventPublisher, ProgressReporter
from shared.runtime.waiting import cancellable, set_current_job
from shared.slot.spec import StageSpec
from shared.storage.errors import ArtifactRefused, StoreUnavailable
from shared.storage.protocols import Storage
from shared.telemetry import metrics
from shared.telemetry.attributes import set_attributes

log = structlog.get_logger()


class TaskAttempts:
    """Makes the attempts of one stage. Shared by its slots; runs in a slot's thread."""

    def __init__(
        self,
        spec: StageSpec,
        settings: RuntimeSettings,
        store: Storage,
        events: EventPublisher,
        tracer: Tracer,
        cancelled: Callable[[str, str], bool],
        deadlines: Deadlines,
        disk: DiskSpace,
        notices: Callable[[RenderTask, str], ChunkNotices] | None = None,
        provenance: Provenance | None = None,
    ) -> None:
        """``cancelled`` returns, by tenant and job id, whether the job is cancelled. ``notices`` makes the notices for
        an attempt, by its task and id; None where the following stage does not start early."""
        self._spec = spec
        self._settings = settings
        self._store = store
        self._events = events
        self._tracer = tracer
        self._cancelled = cancelled
        self._deadlines = deadlines
        self._disk = disk
        self._notices = notices
        self._provenance = provenance

    def until_done(
        self,
        task: RenderTask,
        record: Record,
        assignment: PartitionAssignment,
        worker: Worker,
        early: EarlyAttempt | None = None,
    ) -> tuple[JobContext, Attempt, StageOutput]:
        """Make attempts until the worker survives one; returns the job at that attempt, the attempt and its output,
        whose artifacts are stored.

        Raises CrashLoop after LIPSTAGE_MAX_CRASHES deaths on this record, those of earlier deliveries included, or when
        LIPSTAGE_MAX_ATTEMPTS is reached; JobExpired; WorkerNotRestarted; and what the last attempt raised. An attempt
        that filled the disk does not count: the next one waits until there is room.

        ``early`` uses the worker. It becomes the first attempt, or is stopped.
        """
        job, room, crashes = set_current_job(JobContext.of(task)), Room(self._disk, self._spec, task), record.crashes
        with cancellable(lambda: self._must_stop(task)):
            while True:
                taken, early = self._take(early, task, assignment), None
                if taken is None:
                    room.wait()
                try:
                    if taken is None and not self._prepared(worker, job):
                        raise WorkerNotRestarted("the handler can't be loaded again")
                    set_attributes(trace.get_current_span(), {"attempt": job.attempt})
                    self._start(task, job, taken)
                    progress = ProgressReporter(self._events, job)
                    attempt = taken.attempt if taken else self._attempt(task, progress, assignment, worker)
                    try:
                        return job, attempt, taken.finish(progress) if taken else attempt.run()
                    except WorkerDied as e:
                        log.warning("worker_died", reason=str(e))
                        attempt.discard()
                        job, crashes = self._restart(e, job, crashes, record, assignment, worker)
                    except DiskFull as e:
                        attempt.discard()
                        room.failed(e)
                    except StoreUnavailable:
                        with best_effort():  # The attempt has waited long enough.
                            attempt.discard()
                        raise
                    except (Rejected, JobCancelled, HandlerFailed, ArtifactRefused):
                        attempt.discard()
                        raise
                finally:
                    room.release()

    def _take(
        self, early: EarlyAttempt | None, task: RenderTask, assignment: PartitionAssignment
    ) -> EarlyAttempt | None:
        """The early attempt, if it can be the task's; None when it is stopped, or there is none."""
        if early is None:
            return None
        telemetry = WorkerTelemetry(self._spec.name, self._tracer)
        return early if early.take(task, telemetry, lambda: not assignment.held or self._must_stop(task)) else None

    def _must_stop(self, task: RenderTask) -> bool:
        return self._cancelled(task.request.tenant, task.job_id) or self._deadlines.passed(task)

    def _start(self, task: RenderTask, job: JobContext, taken: EarlyAttempt | None) -> None:
        """Publish that the attempt starts. Raises JobExpired; an attempt that runs already is ended then."""
        try:
            self._events.started(job)
            if task.request.deadline_s is not None:
                self._events.flush()  # The delivery report tells the broker's time, however long the record waited.
                if self._deadlines.passed(task):
                    raise JobExpired("the deadline passed before the attempt")
        except BaseException:
            if taken is not None:
                taken.stop("failed")
                taken.attempt.discard()
            raise

    def _attempt(
        self, task: RenderTask, progress: ProgressReporter, assignment: PartitionAssignment, worker: Worker
    ) -> Attempt:
        attempt = Attempt(
            task=task,
            spec=self._spec,
            store=self._store,
            settings=self._settings,
            worker=worker,
            cancelled=lambda: not assignment.held or self._must_stop(task),
            progress=progress,
            telemetry=WorkerTelemetry(self._spec.name, self._tracer),
            scratch=self._disk.folder,
            provenance=self._provenance,
        )
        attempt.notices = self._notices(task, attempt.id) if self._notices is not None else None
        return attempt

    def _restart(
        self,
        error: WorkerDied,
        job: JobContext,
        crashes: int,
        record: Record,
        assignment: PartitionAssignment,
        worker: Worker,
    ) -> tuple[JobContext, int]:
        """Count the death and start the worker again; returns the job at its next attempt and the number of deaths.

        A start that fails counts as a death: the record may have broken the device, and would do so at every other
        replica. Raises CrashLoop, and ``error`` when the partition is lost.
        """
        while assignment.held:
            crashes += 1
            assignment.count_crash(record.offset)
            if crashes >= self._settings.max_crashes or job.attempt >= self._settings.max_attempts:
                raise CrashLoop(f"{job.attempt} attempts, {crashes} deaths of the process: {error}") from error
            metrics.TASK_FAILURES.labels(self._spec.name, "crash_loop").inc()
            job = set_current_job(job.at_attempt(job.attempt + 1))
            if self._prepared(worker, job):
                return job, crashes
        raise error

    def _prepared(self, worker: Worker, job: JobContext) -> bool:
        """Have a process that may run the job's task; whether its handler is loaded. If the machine is at fault, the
        slot's start of the worker for the next record ends the service."""
        try:
            worker.prepare(job.tenant)
        except (WorkerDied, HandlerUnavailable) as e:
            log.warning("handler_not_loaded_again", reason=str(e))
            return False
        return True
