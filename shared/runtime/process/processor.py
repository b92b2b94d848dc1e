"""The path of one record, from its arrival in a slot until it may be committed."""

import time
from collections.abc import Callable
from dataclasses import replace

import structlog
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Tracer

from shared.messages.codes import Rejected
from shared.messages.events import TerminalEvent
from shared.messages.task import RenderTask, StageOutput
from shared.runtime import fault_injection
from shared.runtime.consume.assignment import PartitionAssignment, Record
from shared.runtime.disposition import Completed, Disposition, Duplicate, JobContext, PartitionLost
from shared.runtime.execute.attempt import Attempt
from shared.runtime.execute.room import Room
from shared.runtime.execute.scratch import DiskSpace
from shared.runtime.execute.worker_process import Worker
from shared.runtime.execute.worker_telemetry import WorkerTelemetry
from shared.runtime.failures import (
    DiskFull,
    HandlerFailed,
    HandlerUnavailable,
    JobCancelled,
    PartitionRevoked,
    WorkerDied,
    WorkerNotRestarted,
    classify,
)
from shared.runtime.process.decoding import Decoded, Decoder
from shared.runtime.process.forwarding import Forwarder
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settle.event_publisher import EventPublisher, ProgressReporter
from shared.runtime.settle.settlement import Settlement
from shared.runtime.waiting import TaskWaits, cancellable, clear_current_job, current_job, set_current_job, task_waits
from shared.slot.spec import StageSpec
from shared.storage import markers
from shared.storage.errors import ArtifactAltered, ArtifactMissing, ArtifactRefused
from shared.storage.protocols import Storage
from shared.telemetry import metrics
from shared.telemetry.ids import preset_trace_id
from shared.telemetry.propagation import trace_id

log = structlog.get_logger()


class TaskProcessor:
    """Processes the records of one stage. Shared by its slots; runs in a slot's thread."""

    def __init__(
        self,
        spec: StageSpec,
        group: str,
        settings: RuntimeSettings,
        decoder: Decoder,
        store: Storage,
        events: EventPublisher,
        forwarder: Forwarder,
        settlement: Settlement,
        tracer: Tracer,
        cancelled: Callable[[str, str], bool],
        disk: DiskSpace,
        stopping: Callable[[], bool],
    ) -> None:
        """``cancelled`` returns, by tenant and job id, whether the job is cancelled. ``stopping`` returns whether the
        service is shutting down; then waiting tasks are abandoned."""
        self._spec = spec
        self._group = group
        self._settings = settings
        self._decoder = decoder
        self._store = store
        self._events = events
        self._forwarder = forwarder
        self._settlement = settlement
        self._tracer = tracer
        self._cancelled = cancelled
        self._disk = disk
        self._stopping = stopping

    def handle(self, record: Record, assignment: PartitionAssignment, worker: Worker) -> None:
        """Process the record and settle it, in its span; on return it may be committed.

        Raises exceptions for which `failures.classify` returns None: nothing is settled, the service ends, and the
        record is delivered again. After Abandoned the record is delivered again, too; it ends no service.
        """
        start, now_ms = time.monotonic(), time.time_ns() // 1_000_000
        wait_ms = now_ms - record.appended_ms(now_ms)
        metrics.QUEUE_SECONDS.labels(self._spec.name).observe(wait_ms / 1000)
        origin = self._decoder.trace(record)
        clear_current_job()
        waits = TaskWaits(
            self._spec.name,
            self._events.waiting,
            stopping=lambda: self._stopping() or not assignment.held,
            revoking=lambda: assignment.revoking,
        )
        with (
            task_waits(waits),
            self._events.of_one_record(),
            preset_trace_id(origin.root_id),
            self._tracer.start_as_current_span(
                f"process {record.topic}",
                context=origin.parent,
                kind=SpanKind.CONSUMER,
                links=origin.links,
                attributes=self._span_attributes(record, wait_ms),
            ),
        ):
            disposition: Disposition | None = None
            try:
                disposition = self.process(record, assignment, worker)
                self._settlement.settle(record, disposition)
            except Exception as e:  # noqa: BLE001 - `classify` maps every class
                self._settle_after_failure(record, disposition, e)
            exemplar = metrics.exemplar(trace_id())
        metrics.TASK_SECONDS.labels(self._spec.name).observe(time.monotonic() - start, exemplar=exemplar)
        clear_current_job()

    def process(self, record: Record, assignment: PartitionAssignment, worker: Worker) -> Disposition:
        """The disposition of the record. Raises only exceptions that concern the service: broker, object store,
        machine."""
        task: RenderTask | None = None
        try:
            decoded = self._decoder.decode(record)
            if not isinstance(decoded, Decoded):
                return decoded
            task = decoded.task
            job = JobContext.of(task)
            trace.get_current_span().set_attributes(
                {"render.job": task.job_id, "tenant": job.tenant, "engine": task.request.engine}
            )
            if self._is_cancelled(task):
                raise JobCancelled("the job was cancelled before its task started")
            attempt, output = None, self._completed(task)
            if output is None:
                job, attempt, own = self._attempt_until_done(task, assignment, worker)
                fault_injection.reached("after_put")
                own = own.model_copy(update={"warnings": (*decoded.warnings, *own.warnings)})
                claim = markers.claim_completion(self._store.documents, job.tenant, job.job_id, self._spec.name, own)
                output = claim.winner
                if not claim.won:
                    attempt.discard()
                    attempt = None
            self._events.finished(job, output)
            if not assignment.may_publish():
                raise PartitionRevoked("the partition was lost before the task was published")
            task = task.with_output(self._spec.name, output)
            done = self._forwarder.forward(task, job.attempt)
            fault_injection.reached("after_publish")
            if attempt is not None:
                attempt.remember(output)
            return Completed(done, job=job, task=task)
        except Exception as e:  # noqa: BLE001 - `classify` maps every class
            return self._disposition_of(e, task, assignment)

    def _completed(self, task: RenderTask) -> StageOutput | None:
        """The stage's output when an attempt has completed it, as after a redelivery; else None."""
        return markers.read_completion(self._store.documents, task.request.tenant, task.job_id, self._spec.name)

    def _attempt_until_done(
        self, task: RenderTask, assignment: PartitionAssignment, worker: Worker
    ) -> tuple[JobContext, Attempt, StageOutput]:
        """Make attempts until the worker survives one, at most LIPSTAGE_MAX_ATTEMPTS; returns the job at that attempt,
        the attempt and its output, whose artifacts are stored. Raises what the last attempt raised, and
        WorkerNotRestarted.

        An attempt that filled the disk does not count: the next one waits until there is room.
        """
        job, room = JobContext.of(task), Room(self._disk, self._spec, task)
        with cancellable(lambda: self._is_cancelled(task)):
            while True:
                room.wait()
                try:
                    if worker.pid is None and not self._restarted(worker):
                        raise WorkerNotRestarted("the handler can't be loaded again")
                    trace.get_current_span().set_attribute("attempt", job.attempt)
                    self._events.started(job)
                    attempt = self._attempt(task, job, assignment, worker)
                    try:
                        return job, attempt, attempt.run()
                    except WorkerDied as e:
                        log.warning("worker_died", reason=str(e))
                        attempt.discard()
                        next_job = self._restart(worker, job, assignment)
                        if next_job is None:
                            raise
                        job = next_job
                    except DiskFull as e:
                        attempt.discard()
                        room.failed(e)
                    except (Rejected, JobCancelled, HandlerFailed, ArtifactRefused):
                        attempt.discard()
                        raise
                finally:
                    room.release()

    def _settle_after_failure(self, record: Record, disposition: Disposition | None, error: Exception) -> None:
        """Settle a record whose processing or settlement failed by a bug, as it would after each redelivery. Raises
        ``error`` where broker, object store or machine are at fault."""
        fallback = classify(error, 1)
        if fallback is None:
            raise error
        job = current_job() if disposition is None else disposition.job
        if disposition is not None and disposition.job_continues:
            job = None
        self._settlement.settle(record, replace(fallback, job=job))

    def _attempt(self, task: RenderTask, job: JobContext, assignment: PartitionAssignment, worker: Worker) -> Attempt:
        return Attempt(
            task=task,
            spec=self._spec,
            store=self._store,
            settings=self._settings,
            worker=worker,
            cancelled=lambda: not assignment.held or self._is_cancelled(task),
            progress=ProgressReporter(self._events, job),
            telemetry=WorkerTelemetry(self._spec.name, self._tracer),
            scratch=self._disk.folder,
        )

    def _restart(self, worker: Worker, job: JobContext, assignment: PartitionAssignment) -> JobContext | None:
        """Start the worker again for the next attempt; the job at that attempt, None when no attempt is left."""
        while assignment.held and job.attempt < self._settings.max_attempts:
            job = job.at_attempt(job.attempt + 1)
            set_current_job(job)
            if self._restarted(worker):
                return job
        return None

    def _restarted(self, worker: Worker) -> bool:
        """Restart the worker; whether its handler is loaded again. A start that fails counts as an attempt: the record
        may have broken the device, and would do so at every other replica. If the machine is at fault, the slot's start
        of the worker for the next record ends the service.
        """
        metrics.WORKER_PROCESS_STARTS.labels(self._spec.name).inc()
        try:
            worker.start()
        except (WorkerDied, HandlerUnavailable) as e:
            log.warning("handler_not_loaded_again", reason=str(e))
            return False
        return True

    def _is_cancelled(self, task: RenderTask) -> bool:
        return self._cancelled(task.request.tenant, task.job_id)

    def _disposition_of(
        self, error: Exception, task: RenderTask | None, assignment: PartitionAssignment
    ) -> Disposition:
        """The disposition for the exception. Raises the exception where it is not about this record alone."""
        job = current_job()
        if not assignment.held:  # Whatever the exception was: the new owner does this work.
            return PartitionLost(job=job, task=task)
        disposition = classify(error, job.attempt if job else 1)
        if disposition is None:
            raise error
        if task is not None and isinstance(error, ArtifactMissing | ArtifactAltered):
            terminal = self._terminal_event(task)
            if terminal is not None:
                # The record was delivered twice at once: the other delivery ended the job and deleted the artifacts.
                return Duplicate(terminal, job=job, task=task)
        return replace(disposition, job=job, task=task)

    def _terminal_event(self, task: RenderTask) -> TerminalEvent | None:
        """The job's terminal event; None when it has not ended, or the stored event can't be read."""
        try:
            return markers.read_end(self._store.documents, task.request.tenant, task.job_id)
        except (ArtifactAltered, ArtifactRefused) as e:
            log.warning("end_unreadable", error=str(e))
            return None

    def _span_attributes(self, record: Record, wait_ms: int) -> dict[str, str | int]:
        """Span attributes by OpenTelemetry's semantic conventions for messaging, and the wait in the queue."""
        return {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
            "messaging.consumer.group.name": self._group,
            "queue.wait_ms": wait_ms,
        }
