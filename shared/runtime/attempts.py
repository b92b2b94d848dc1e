"""Attempts at one task until one of them survives: which failures count as one, and what comes between two."""

import structlog
from opentelemetry.trace import Span

from shared.messages.codes import Rejected
from shared.messages.task import RenderTask, StageOutput
from shared.runtime.attempt import Attempt, HandlerFailed
from shared.runtime.cancellations import Cancellations
from shared.runtime.disk_space import DiskFull, DiskSpace, Room
from shared.runtime.event_publisher import EventPublisher, JobContext
from shared.runtime.record import PartitionAssignment
from shared.runtime.retry_policy import RetryPolicy
from shared.runtime.settings import RuntimeSettings
from shared.runtime.store import Store
from shared.runtime.waiting import JobCancelled, cancellable, never
from shared.runtime.worker_process import HandlerUnavailable, WorkerDied, WorkerProcess
from shared.runtime.worker_telemetry import WorkerTelemetry
from shared.slot.spec import StageSpec
from shared.storage.errors import ArtifactRefused
from shared.telemetry import metrics
from shared.telemetry.tracing import Tracing

log = structlog.get_logger()


class LoadFailed(Exception):
    """A worker that a full disk ended could not be started again: this machine's fault, not the record's."""


class Attempts:
    """Makes the attempts of one stage; shared by its slots."""

    def __init__(
        self,
        spec: StageSpec,
        settings: RuntimeSettings,
        store: Store,
        retry: RetryPolicy,
        tracing: Tracing,
        cancellations: Cancellations,
        disk: DiskSpace,
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._store = store
        self._retry = retry
        self._tracing = tracing
        self._cancellations = cancellations
        self._disk = disk

    def run(
        self,
        task: RenderTask,
        assignment: PartitionAssignment,
        worker: WorkerProcess,
        publisher: EventPublisher,
        span: Span,
    ) -> tuple[Attempt, StageOutput]:
        """Try until the worker survives, at most ``tries`` times. Raises what the last attempt raised, LoadFailed.

        An attempt that found the disk full does not count: the next one waits until there is room.
        """
        job = JobContext.of(task)
        room = Room(self._disk, self._spec, task)
        while True:
            room.wait()
            try:
                if worker.pid is None and not self._restarted(worker):
                    raise LoadFailed("the handler can't be loaded again")
                span.set_attribute("attempt", publisher.attempt)
                publisher.started(job)
                attempt = self._attempt(task, assignment, worker, publisher)
                try:
                    return attempt, attempt.run()
                except WorkerDied as e:
                    log.warning("worker_died", attempt=publisher.attempt, reason=str(e))
                    self.discard(attempt)
                    while assignment.held and publisher.attempt < self._settings.max_attempts:
                        publisher.attempt += 1
                        if self._restarted(worker):
                            break
                    else:
                        raise
                except DiskFull as e:
                    self.discard(attempt)
                    room.failed(e)
                except (Rejected, JobCancelled, HandlerFailed, ArtifactRefused):
                    self.discard(attempt)
                    raise
            finally:
                room.leave()

    def discard(self, attempt: Attempt) -> None:
        """Delete what an attempt stored that lost, or failed."""
        with cancellable(never):  # A cancelled job leaves nothing behind either.
            attempt.discard()

    def _attempt(
        self, task: RenderTask, assignment: PartitionAssignment, worker: WorkerProcess, publisher: EventPublisher
    ) -> Attempt:
        job = JobContext.of(task)
        return Attempt(
            task=task,
            spec=self._spec,
            store=self._store,
            settings=self._settings,
            retry=self._retry,
            worker=worker,
            cancelled=lambda: not assignment.held or self._cancellations.has(task.request.tenant, task.job_id),
            progress=lambda done, total: publisher.progress(job, done, total),
            telemetry=WorkerTelemetry(self._spec.name, self._tracing.tracer),
            scratch=self._disk.folder,
        )

    def _restarted(self, worker: WorkerProcess) -> bool:
        """Whether the handler is loaded again. A start that fails counts as an attempt: what the record did to the
        first worker may have broken the device for the next, and here as at every other replica it would come again.
        A machine that is at fault is seen when the slot starts the worker for the next record, which ends the service.
        """
        metrics.WORKER_PROCESS_STARTS.labels(self._spec.name).inc()
        try:
            worker.start()
        except (WorkerDied, HandlerUnavailable) as e:
            log.warning("handler_not_loaded_again", reason=str(e))
            return False
        return True
