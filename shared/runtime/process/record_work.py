"""Does the work of one record, up to its outcome: decode, attempts, marker, forwarding."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog
from opentelemetry import trace

from shared.messages import codes
from shared.messages.delivery_headers import Coordinates, DeliveryHeaders, read_delivery, source_of
from shared.messages.events import TerminalEvent
from shared.messages.pipeline import FIRST
from shared.messages.task import RenderTask, StageOutput
from shared.runtime import fault_injection
from shared.runtime.attempt_policy import AttemptPolicy, is_own
from shared.runtime.consume.assignment import PartitionAssignment, Record
from shared.runtime.disposition import Completed, Disposition, Duplicate, FailureReason, JobContext, PartitionLost
from shared.runtime.execute.early_attempt import EarlyAttempt
from shared.runtime.execute.worker_process import Worker
from shared.runtime.failures import CrashLoop, JobCancelled, JobExpired, PartitionRevoked, classify
from shared.runtime.process.deadlines import Deadlines
from shared.runtime.process.decoding import Decoded, Decoder
from shared.runtime.process.forwarding import Forwarder
from shared.runtime.process.task_attempts import TaskAttempts
from shared.runtime.retry_policy import best_effort
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settle.event_publisher import EventPublisher
from shared.runtime.waiting import current_job, current_task, set_current_job
from shared.storage import markers
from shared.storage.errors import ArtifactAltered, ArtifactMissing, ArtifactRefused
from shared.storage.protocols import Storage
from shared.telemetry import metrics
from shared.telemetry.attributes import set_attributes

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Received:
    """A record that a slot processes."""

    record: Record
    assignment: PartitionAssignment
    worker: Worker
    delivery: DeliveryHeaders
    """What its headers say of attempts, retries and replays."""
    early: EarlyAttempt | None = None
    """An attempt that may be the task's, and has started before the record was there. It uses ``worker``."""

    @property
    def source(self) -> Coordinates:
        """Where the record was first: its origin, where it repeats another one."""
        return source_of(self.record.headers, self.record.topic, self.record.partition, self.record.offset)


class RecordWork:
    """The work of one stage's records. Shared by its slots; runs in a slot's thread."""

    def __init__(
        self,
        stage: str,
        settings: RuntimeSettings,
        decoder: Decoder,
        store: Storage,
        events: EventPublisher,
        attempts: TaskAttempts,
        forwarder: Forwarder,
        policy: AttemptPolicy,
        cancelled: Callable[[str, str], bool],
        deadlines: Deadlines,
        charge: Callable[[RenderTask, int], None] = lambda *_: None,
    ) -> None:
        """``cancelled`` returns, by tenant and job id, whether the job is cancelled. ``charge`` is called with the task
        that holds this stage's output, and the number of its replay, before the stage is complete; it
        raises Rejected over a quota."""
        self._stage = stage
        self._settings = settings
        self._decoder = decoder
        self._store = store
        self._events = events
        self._attempts = attempts
        self._forwarder = forwarder
        self._policy = policy
        self._cancelled = cancelled
        self._deadlines = deadlines
        self._charge = charge

    def receive(
        self, record: Record, assignment: PartitionAssignment, worker: Worker, early: EarlyAttempt | None = None
    ) -> Received:
        """The record with what its headers say.

        One that arrives for more attempts than there are gets the last one: LIPSTAGE_MAX_ATTEMPTS may have changed, and
        the header of a request is its sender's.
        """
        delivery = read_delivery(record.headers)
        attempt = min(delivery.attempt, self._settings.max_attempts)
        return Received(record, assignment, worker, replace(delivery, attempt=attempt), early)

    def first_attempt(self, received: Received) -> int:
        """The number of the attempt that the record is for; of its last one, when it gets no further attempt."""
        number = received.delivery.attempt + received.record.crashes
        return number - 1 if self._is_used_up(received) else number

    def _is_used_up(self, received: Received) -> bool:
        crashes, settings = received.record.crashes, self._settings
        return crashes >= settings.max_crashes or received.delivery.attempt + crashes > settings.max_attempts

    def until_outcome(self, received: Received) -> Disposition:
        """The disposition of the record. Raises only exceptions that concern the service: broker, machine."""
        task: RenderTask | None = None
        while True:
            try:
                decoded = self._decode(received)
                if not isinstance(decoded, Decoded):
                    return decoded
                task = decoded.task
                return self._complete(decoded, received)
            except Exception as e:  # noqa: BLE001 - `classify` maps every class
                if not self._repeats_at_once(e, received):
                    return self.disposition_of(e, task, received)
                log.warning("attempt_repeated", error=type(e).__name__, text=str(e))
                metrics.TASK_FAILURES.labels(self._stage, "failed").inc()
                waits = current_task()
                waits.first_attempt = waits.attempt + 1

    def _decode(self, received: Received) -> Decoded | Disposition:
        """The task in the record. Raises CrashLoop for a record that gets no further attempt."""
        crashes = received.record.crashes
        loop = CrashLoop(f"the worker process or the whole service died {crashes} times on this record")
        if crashes > self._settings.max_crashes:
            raise loop
        decoded = self._decoder.decode(received.record)
        if not isinstance(decoded, Decoded):
            return decoded
        if self._is_used_up(received):
            raise loop
        return decoded

    def _complete(self, decoded: Decoded, received: Received) -> Completed:
        """Do the task's work, unless it is done, and publish its result."""
        task, job = decoded.task, set_current_job(JobContext.of(decoded.task))
        set_attributes(
            trace.get_current_span(),
            {"render.job": task.job_id, "tenant": job.tenant, "engine": task.request.engine},
        )
        if self._is_cancelled(task):
            raise JobCancelled("the job was cancelled before its task started")
        if self._deadlines.passed(task):
            raise JobExpired("the deadline passed before the task started")
        # An earlier attempt may have completed the stage, as after a redelivery.
        output = markers.read_completion(self._store.documents, job.tenant, job.job_id, self._stage)
        attempt = None
        if output is None:
            job, attempt, own = self._attempts.until_done(
                task, received.record, received.assignment, received.worker, received.early
            )
            fault_injection.reached("after_put")
            try:
                self._charge(task.with_output(self._stage, own), decoded.replays)
            except codes.Rejected:
                with best_effort():
                    attempt.discard()
                raise
            own = own.model_copy(
                update={
                    "warnings": (*decoded.warnings, *own.warnings),
                    "attempts": job.attempt,
                    "queue_ms": current_task().queue_ms,
                }
            )
            claim = markers.claim_completion(self._store.documents, job.tenant, job.job_id, self._stage, own)
            current_task().nothing_to_lose()
            output = claim.winner
            if claim.won:
                self._count_gpu(output, task.request.engine)
            else:
                attempt.discard()
                attempt = None
        self._events.finished(job, output)
        if not received.assignment.may_publish():
            raise PartitionRevoked("the partition was lost before the task was published")
        task = task.with_output(self._stage, output)
        done = self._forwarder.forward(task, job, attempt.destination if attempt is not None else None)
        fault_injection.reached("after_publish")
        if attempt is not None:
            attempt.remember(output)
        return Completed(done, job=job, task=task)

    def _count_gpu(self, output: StageOutput, engine: str) -> None:
        seconds = output.metadata.get("gpu_seconds")
        if isinstance(seconds, int | float) and 0 < seconds < math.inf:
            metrics.GPU_SECONDS.labels(self._stage, metrics.ENGINES.of(engine)).inc(seconds)

    def _repeats_at_once(self, error: Exception, received: Received) -> bool:
        reason = classify(error)
        if not isinstance(reason, FailureReason) or not received.assignment.held:
            return False
        return self._policy.repeats_at_once(reason, current_task().attempt)

    def disposition_of(self, error: Exception, task: RenderTask | None, received: Received) -> Disposition:
        """The disposition for the exception. Raises the exception where it is not about this record alone."""
        job = current_job()
        if not received.assignment.held:  # Whatever the exception was: the new owner does this work.
            return PartitionLost(job=job, task=task)
        if isinstance(error, JobCancelled) and task and not self._is_cancelled(task) and self._deadlines.passed(task):
            error = JobExpired(str(error))  # The work was stopped for its deadline.
        disposition = classify(error)
        if disposition is None:
            raise error
        if task is not None and isinstance(error, ArtifactMissing | ArtifactAltered):
            terminal = self._terminal_event(task)
            if terminal is not None:
                # The record was delivered twice at once: the other delivery ended the job and deleted the artifacts.
                return Duplicate(terminal, job=job, task=task)
        if isinstance(disposition, FailureReason):
            disposition = self._policy.decide(
                disposition,
                current_task().attempt,
                received.delivery,
                f"{job.tenant}/{job.job_id}" if job else str(received.source),
                # Nobody at lipstage writes requests: there the header is a stranger's, who must pause no stage.
                own_record=self._stage != FIRST and is_own(received.record.headers),
            )
        return replace(disposition, job=job, task=task)

    def _terminal_event(self, task: RenderTask) -> TerminalEvent | None:
        """The job's terminal event; None when it has not ended, or the stored event can't be read."""
        try:
            return markers.read_end(self._store.documents, task.request.tenant, task.job_id)
        except (ArtifactAltered, ArtifactRefused) as e:
            log.warning("end_unreadable", error=str(e))
            return None

    def _is_cancelled(self, task: RenderTask) -> bool:
        return self._cancelled(task.request.tenant, task.job_id)
