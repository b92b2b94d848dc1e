"""What a slot does with one record, from its arrival to the moment it may be committed."""

import threading
import time
import traceback
from pathlib import Path

import structlog
from confluent_kafka import KafkaException
from opentelemetry.context import get_current
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from pydantic import ValidationError

from shared.messages.codes import Code, Rejected
from shared.messages.pipeline import STAGES
from shared.messages.task import MAX_ENVELOPE_BYTES, RenderTask
from shared.messages.validation import advice
from shared.runtime import checkpoints, trace_context
from shared.runtime.admission import CancelledAtFront, Conflicting, Ended, NotAdmitted, Refused, admit
from shared.runtime.attempt import HandlerFailed
from shared.runtime.attempts import Attempts, LoadFailed
from shared.runtime.cancellations import Cancellations
from shared.runtime.dead_letters import Failure, send_dead_letter
from shared.runtime.disk_space import DiskSpace
from shared.runtime.event_publisher import EventPublisher, JobContext
from shared.runtime.handoff import EngineUnavailable, Handoff
from shared.runtime.producers import DeliveryFailed, Producers, RecordRefused
from shared.runtime.record import PartitionAssignment, Record
from shared.runtime.retry_policy import RetryPolicy
from shared.runtime.settings import RuntimeSettings
from shared.runtime.store import Store
from shared.runtime.trace_context import RecordTrace
from shared.runtime.waiting import Abandoned, JobCancelled, TaskWaits, cancellable, concerns, task_waits
from shared.runtime.worker_process import WorkerDied, WorkerProcess
from shared.slot.spec import StageSpec
from shared.storage.errors import (
    ArtifactAltered,
    ArtifactMissing,
    ArtifactRefused,
    NoSpace,
    OutputRefused,
    StorageError,
    StoreUnavailable,
)
from shared.telemetry import metrics
from shared.telemetry.ids import preset_trace_id
from shared.telemetry.propagation import trace_id, traceparent
from shared.telemetry.tracing import Tracing

log = structlog.get_logger()


NOT_ITS_FAULT = (StoreUnavailable, DeliveryFailed, KafkaException, LoadFailed, Abandoned, OSError)
"""Ends the service: broker, store or machine are at fault, and would be for any record. docs/delivery.md says why none
of these can come of one record alone."""


class LeaseLost(Exception):
    """The partition is another's now: that member does this work; here nothing is said or handed on."""


class Flow:
    """Settles records of one stage. Shared by its slots; ``settle`` runs in a slot's thread.

    An exception that leaves ``settle`` means that nothing was settled: the broker or the store does not answer. The
    service then ends, the record is delivered again. Abandoned means so, too, and that the service ends anyway.
    """

    def __init__(
        self,
        spec: StageSpec,
        group: str,
        settings: RuntimeSettings,
        store: Store,
        producers: Producers,
        tracing: Tracing,
        cancellations: Cancellations,
        scratch: Path,
        stop: threading.Event,
    ) -> None:
        """``stop`` is set when the service should end: what waits then is given back."""
        self._spec = spec
        self._group = group
        self._settings = settings
        self._store = store
        self._producers = producers
        self._tracing = tracing
        self._cancellations = cancellations
        self._retry = RetryPolicy(settings.store_retry_timeout_s, store.artifacts.answers, settings.store_lost_after_s)
        self._stop = stop
        self.disk = DiskSpace(scratch, settings.free_space_reserve_mb)
        self._attempts = Attempts(spec, settings, store, self._retry, tracing, cancellations, self.disk)
        self._handoff = Handoff(spec, settings, store, producers, tracing, self._retry)

    def settle(self, record: Record, assignment: PartitionAssignment, worker: WorkerProcess) -> None:
        """Do the record's work and say its outcome; when this returns the record may be committed."""
        trace = self._trace(record)
        now_ms = time.time_ns() // 1_000_000
        wait_ms = now_ms - record.appended_ms(now_ms)
        start = time.monotonic()
        publisher = EventPublisher(
            self._spec.name, self._settings.topic_prefix, self._producers, self._store, self._retry
        )
        metrics.QUEUE_SECONDS.labels(self._spec.name).observe(wait_ms / 1000)
        structlog.contextvars.unbind_contextvars("job")
        waits = TaskWaits(
            self._spec.name,
            publisher.waiting,
            stopping=lambda: self._stop.is_set() or not assignment.held,
            wanted=lambda: assignment.revoking,
        )
        with (
            task_waits(waits),
            preset_trace_id(trace.root_id),
            self._tracing.tracer.start_as_current_span(
                f"process {record.topic}",
                context=trace.parent,
                kind=SpanKind.CONSUMER,
                links=trace.links,
                attributes={
                    "messaging.system": "kafka",
                    "messaging.operation.name": "process",
                    "messaging.operation.type": "process",
                    "messaging.destination.name": record.topic,
                    "messaging.destination.partition.id": str(record.partition),
                    "messaging.kafka.offset": record.offset,
                    "messaging.consumer.group.name": self._group,
                    "queue.wait_ms": wait_ms,
                },
            ) as span,
        ):
            # A root's own span is what the render's summary belongs under.
            submitted = traceparent(get_current() if trace.is_root else trace.parent)
            try:
                outcome, code = self._settle(record, assignment, worker, publisher, span, submitted)
            except NOT_ITS_FAULT:
                raise
            except Exception as e:  # noqa: BLE001 - broke while its outcome was told: it would each time it comes
                reason = Failure(Code.INTERNAL, "failed", str(e), type(e).__name__, traceback.format_exc())
                # At the front the id may be another request's, whose job goes on.
                job = None if self._spec.name == STAGES[0] or publisher.ended else waits.job
                outcome, code = self._give_up(record, job, publisher, span, reason)
            publisher.settle()
            span.set_attribute("outcome", outcome)
            exemplar = metrics.exemplar(trace_id())
        metrics.TASKS.labels(self._spec.name, outcome, code).inc()
        metrics.TASK_SECONDS.labels(self._spec.name).observe(time.monotonic() - start, exemplar=exemplar)
        structlog.contextvars.unbind_contextvars("job")

    def _trace(self, record: Record) -> RecordTrace:
        if self._spec.name == STAGES[0]:
            return trace_context.of_request(record, trusted=self._settings.trust_trace_context)
        return trace_context.of_task(record)

    def _settle(
        self,
        record: Record,
        assignment: PartitionAssignment,
        worker: WorkerProcess,
        publisher: EventPublisher,
        span: Span,
        submitted: str | None,
    ) -> tuple[str, str]:
        """Outcome and code, for the metrics."""
        try:
            task = self._task(record, submitted)
        except Refused as e:
            publisher.rejected(e.job, e.why.code, e.why.message, e.why.field, e.why.allowed)
            return "rejected", e.why.code
        except Conflicting as e:
            publisher.conflict(e.job)
            return "conflict", ""
        except Ended as e:
            publisher.say_end_again(e.ending)
            return "repeated", ""
        except CancelledAtFront as e:
            publisher.failed(e.job, Code.CANCELLED, "The job was cancelled.")
            return "cancelled", Code.CANCELLED
        except NotAdmitted as e:
            code = e.error.code if isinstance(e.error, StorageError) else Code.INTERNAL
            reason = Failure(code, "failed", str(e.error), type(e.error).__name__, traceback.format_exc())
            return self._give_up(record, e.job, publisher, span, reason)
        except ValueError as e:
            return self._give_up(
                record, None, publisher, span, Failure(Code.POISON, "poison", str(e), type(e).__name__)
            )
        job = JobContext.of(task)
        concerns(job)
        span.set_attributes({"render.job": task.job_id, "tenant": task.request.tenant, "engine": task.request.engine})
        try:
            self._render(task, assignment, worker, publisher, span)
            self._forget(task)
            return "done", ""
        except Rejected as e:
            self._forget(task)
            publisher.rejected(job, e.code, e.message, e.field, e.allowed)
            return "rejected", e.code
        except JobCancelled:
            self._forget(task)
            publisher.failed(job, Code.CANCELLED, "The job was cancelled.")
            self._handoff.sweep(task)
            return "cancelled", Code.CANCELLED
        except LeaseLost:
            return "lost", ""
        except (ArtifactMissing, ArtifactAltered) as e:
            if (ending := self._handoff.ended(task)) is not None:
                # The record was delivered twice at once: the other one's end deleted what this one was reading.
                publisher.say_end_again(ending)
                return "repeated", ""
            reason = Failure(e.code, "poison", str(e), type(e).__name__)
        except (NoSpace, OutputRefused, ArtifactRefused) as e:
            reason = Failure(e.code, "failed", str(e), type(e).__name__)
        except WorkerDied as e:
            reason = Failure(
                Code.CRASH_LOOP, "crash_loop", f"{self._settings.max_attempts} attempts: {e}", type(e).__name__
            )
        except HandlerFailed as e:
            reason = Failure(Code.INTERNAL, "failed", str(e), e.exception, e.stack)
        except (EngineUnavailable, RecordRefused) as e:
            code = Code.ENGINE_UNAVAILABLE if isinstance(e, EngineUnavailable) else Code.INTERNAL
            reason = Failure(code, "failed", str(e), type(e).__name__)
        except NOT_ITS_FAULT:
            raise  # It must be delivered again, not given up.
        except (KeyError, ValidationError) as e:
            # A task that parses, but lacks what earlier stages should have put there.
            reason = Failure(Code.POISON, "poison", str(e), type(e).__name__, traceback.format_exc())
        except Exception as e:  # noqa: BLE001 - a record that breaks us would break every replica in turn
            reason = Failure(Code.INTERNAL, "failed", str(e), type(e).__name__, traceback.format_exc())
        self._forget(task)
        return self._give_up(record, job, publisher, span, reason)

    def _forget(self, task: RenderTask) -> None:
        """The stage is through with the task: nothing will go on from what its attempts saved."""
        if self._spec.resumes:
            checkpoints.forget(self._store, self._retry, task, self._spec.name)

    def _task(self, record: Record, submitted: str | None) -> RenderTask:
        """The record as a task. Raises Refused and Conflicting at the front, ValueError (poison) further in."""
        if self._spec.name == STAGES[0]:
            return admit(record, submitted, self._store, self._settings, self._retry, cancelled=self._cancellations.has)
        if record.value is None or len(record.value) > MAX_ENVELOPE_BYTES:
            raise ValueError("the record has no value, or one that is too large")
        return RenderTask.parse(record.value)

    def _render(
        self,
        task: RenderTask,
        assignment: PartitionAssignment,
        worker: WorkerProcess,
        publisher: EventPublisher,
        span: Span,
    ) -> None:
        """Raises what says how it went instead; LeaseLost whatever went wrong, once the partition is another's."""
        try:
            self._stage(task, assignment, worker, publisher, span)
        except Exception as e:
            if not assignment.held:
                raise LeaseLost from e
            raise

    def _stage(
        self,
        task: RenderTask,
        assignment: PartitionAssignment,
        worker: WorkerProcess,
        publisher: EventPublisher,
        span: Span,
    ) -> None:
        job = JobContext.of(task)
        if self._cancellations.has(task.request.tenant, task.job_id):
            raise JobCancelled
        if self._spec.name == STAGES[0]:
            publisher.accepted(job, task.request.engine)
        output, won = self._handoff.completed(task), None
        if output is None:
            with cancellable(lambda: self._cancellations.has(task.request.tenant, task.job_id)):
                attempt, made = self._attempts.run(task, assignment, worker, publisher, span)
            if self._spec.name == STAGES[0]:
                made = made.model_copy(update={"warnings": (*advice(task.request), *made.warnings)})
            claim = self._handoff.complete(task, made)
            if claim.won:
                won = attempt
            else:
                self._attempts.discard(attempt)
            output = claim.winner
        publisher.finished(job, output)
        if not assignment.held:
            raise LeaseLost
        self._handoff.hand_on(task.with_output(self._spec.name, output), publisher)
        if won is not None:
            won.remember(output)

    def _give_up(
        self, record: Record, job: JobContext | None, publisher: EventPublisher, span: Span, reason: Failure
    ) -> tuple[str, str]:
        """Dead letter, then the job's end: the dead letter must be on the broker before the record is committed."""
        log.error(
            "dead_letter", code=reason.code, kind=reason.failure_class, error=reason.exception, origin=reason.stack
        )
        span.set_status(Status(StatusCode.ERROR, reason.message))
        span.set_attribute("error.type", reason.code.value)
        send_dead_letter(
            self._producers,
            self._settings.topic_prefix,
            record,
            reason,
            stage=self._spec.name,
            group=self._group,
            attempts=publisher.attempt,
        )
        metrics.DEAD_LETTERS.labels(self._spec.name, reason.code).inc()
        if job is not None:
            publisher.failed(job, reason.code, "The render failed; the operator finds it in the dead letters.")
        return "dead_letter", reason.code
