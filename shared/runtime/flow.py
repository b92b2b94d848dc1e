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

from shared.messages.admission import advice
from shared.messages.codes import Code, Rejected
from shared.messages.pipeline import STAGES
from shared.messages.task import MAX_ENVELOPE_BYTES, RenderTask
from shared.runtime import resume, trace_context
from shared.runtime.admission import CancelledAtFront, Conflicting, Ended, NotAdmitted, Refused, admit
from shared.runtime.announcer import Announcer, Subject
from shared.runtime.attempt import HandlerBroken
from shared.runtime.attempts import Attempts, LoadFailed
from shared.runtime.cancellations import Cancellations
from shared.runtime.dead_letters import Reason, send_letter
from shared.runtime.disk_space import DiskSpace
from shared.runtime.handoff import EngineGone, Handoff
from shared.runtime.outbox import DeliveryFailed, Outbox, RecordRefused
from shared.runtime.record import Lease, Record
from shared.runtime.retry_policy import RetryPolicy
from shared.runtime.settings import RuntimeSettings
from shared.runtime.slot_process import ChildDied, SlotProcess
from shared.runtime.store import Store
from shared.runtime.trace_context import RecordTrace
from shared.runtime.waiting import Abandoned, JobCancelled, TaskWaits, cancellable, concerns, task_waits
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
        outbox: Outbox,
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
        self._outbox = outbox
        self._tracing = tracing
        self._cancellations = cancellations
        self._retry = RetryPolicy(settings.store_retry_timeout_s, store.artifacts.answers, settings.store_lost_after_s)
        self._stop = stop
        self.disk = DiskSpace(scratch, settings.free_space_reserve_mb)
        self._attempts = Attempts(spec, settings, store, self._retry, tracing, cancellations, self.disk)
        self._handoff = Handoff(spec, settings, store, outbox, tracing, self._retry)

    def settle(self, record: Record, lease: Lease, child: SlotProcess) -> None:
        """Do the record's work and say its outcome; when this returns the record may be committed."""
        trace = self._trace(record)
        now_ms = time.time_ns() // 1_000_000
        wait_ms = now_ms - record.appended_ms(now_ms)
        start = time.monotonic()
        announcer = Announcer(self._spec.name, self._settings.topic_prefix, self._outbox, self._store, self._retry)
        metrics.QUEUE_SECONDS.labels(self._spec.name).observe(wait_ms / 1000)
        structlog.contextvars.unbind_contextvars("job")
        waits = TaskWaits(
            self._spec.name,
            announcer.waiting,
            stopping=lambda: self._stop.is_set() or not lease.held,
            wanted=lambda: lease.wanted,
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
                outcome, code = self._settle(record, lease, child, announcer, span, submitted)
            except NOT_ITS_FAULT:
                raise
            except Exception as e:  # noqa: BLE001 - broke while its outcome was told: it would each time it comes
                reason = Reason(Code.INTERNAL, "failed", str(e), type(e).__name__, traceback.format_exc())
                # At the front the id may be another request's, whose job goes on.
                subject = None if self._spec.name == STAGES[0] or announcer.ended else waits.subject
                outcome, code = self._give_up(record, subject, announcer, span, reason)
            announcer.settle()
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
        lease: Lease,
        child: SlotProcess,
        announcer: Announcer,
        span: Span,
        submitted: str | None,
    ) -> tuple[str, str]:
        """Outcome and code, for the metrics."""
        try:
            task = self._task(record, submitted)
        except Refused as e:
            announcer.rejected(e.subject, e.why.code, e.why.message, e.why.field, e.why.allowed)
            return "rejected", e.why.code
        except Conflicting as e:
            announcer.conflict(e.subject)
            return "conflict", ""
        except Ended as e:
            announcer.say_end_again(e.ending)
            return "repeated", ""
        except CancelledAtFront as e:
            announcer.failed(e.subject, Code.CANCELLED, "The job was cancelled.")
            return "cancelled", Code.CANCELLED
        except NotAdmitted as e:
            code = e.error.code if isinstance(e.error, StorageError) else Code.INTERNAL
            reason = Reason(code, "failed", str(e.error), type(e.error).__name__, traceback.format_exc())
            return self._give_up(record, e.subject, announcer, span, reason)
        except ValueError as e:
            return self._give_up(record, None, announcer, span, Reason(Code.POISON, "poison", str(e), type(e).__name__))
        subject = Subject.of(task)
        concerns(subject)
        span.set_attributes({"render.job": task.job_id, "tenant": task.request.tenant, "engine": task.request.engine})
        try:
            self._render(task, lease, child, announcer, span)
            self._forget(task)
            return "done", ""
        except Rejected as e:
            self._forget(task)
            announcer.rejected(subject, e.code, e.message, e.field, e.allowed)
            return "rejected", e.code
        except JobCancelled:
            self._forget(task)
            announcer.failed(subject, Code.CANCELLED, "The job was cancelled.")
            self._handoff.sweep(task)
            return "cancelled", Code.CANCELLED
        except LeaseLost:
            return "lost", ""
        except (ArtifactMissing, ArtifactAltered) as e:
            if (ending := self._handoff.ended(task)) is not None:
                # The record was delivered twice at once: the other one's end deleted what this one was reading.
                announcer.say_end_again(ending)
                return "repeated", ""
            reason = Reason(e.code, "poison", str(e), type(e).__name__)
        except (NoSpace, OutputRefused, ArtifactRefused) as e:
            reason = Reason(e.code, "failed", str(e), type(e).__name__)
        except ChildDied as e:
            reason = Reason(Code.CRASH_LOOP, "crash_loop", f"{self._settings.tries} attempts: {e}", type(e).__name__)
        except HandlerBroken as e:
            reason = Reason(Code.INTERNAL, "failed", str(e), e.exception, e.stack)
        except (EngineGone, RecordRefused) as e:
            code = Code.ENGINE_UNAVAILABLE if isinstance(e, EngineGone) else Code.INTERNAL
            reason = Reason(code, "failed", str(e), type(e).__name__)
        except NOT_ITS_FAULT:
            raise  # It must be delivered again, not given up.
        except (KeyError, ValidationError) as e:
            # A task that parses, but lacks what earlier stages should have put there.
            reason = Reason(Code.POISON, "poison", str(e), type(e).__name__, traceback.format_exc())
        except Exception as e:  # noqa: BLE001 - a record that breaks us would break every replica in turn
            reason = Reason(Code.INTERNAL, "failed", str(e), type(e).__name__, traceback.format_exc())
        self._forget(task)
        return self._give_up(record, subject, announcer, span, reason)

    def _forget(self, task: RenderTask) -> None:
        """The stage is through with the task: nothing will go on from what its attempts saved."""
        if self._spec.resumes:
            resume.forget(self._store, self._retry, task, self._spec.name)

    def _task(self, record: Record, submitted: str | None) -> RenderTask:
        """The record as a task. Raises Refused and Conflicting at the front, ValueError (poison) further in."""
        if self._spec.name == STAGES[0]:
            return admit(record, submitted, self._store, self._settings, self._retry, cancelled=self._cancellations.has)
        if record.value is None or len(record.value) > MAX_ENVELOPE_BYTES:
            raise ValueError("the record has no value, or one that is too large")
        return RenderTask.parse(record.value)

    def _render(self, task: RenderTask, lease: Lease, child: SlotProcess, announcer: Announcer, span: Span) -> None:
        """Raises what says how it went instead; LeaseLost whatever went wrong, once the partition is another's."""
        try:
            self._stage(task, lease, child, announcer, span)
        except Exception as e:
            if not lease.held:
                raise LeaseLost from e
            raise

    def _stage(self, task: RenderTask, lease: Lease, child: SlotProcess, announcer: Announcer, span: Span) -> None:
        subject = Subject.of(task)
        if self._cancellations.has(task.request.tenant, task.job_id):
            raise JobCancelled
        if self._spec.name == STAGES[0]:
            announcer.accepted(subject, task.request.engine)
        product, won = self._handoff.completed(task), None
        if product is None:
            with cancellable(lambda: self._cancellations.has(task.request.tenant, task.job_id)):
                attempt, made = self._attempts.run(task, lease, child, announcer, span)
            if self._spec.name == STAGES[0]:
                made = made.model_copy(update={"warnings": (*advice(task.request), *made.warnings)})
            claim = self._handoff.complete(task, made)
            if claim.won:
                won = attempt
            else:
                self._attempts.discard(attempt)
            product = claim.winner
        announcer.finished(subject, product)
        if not lease.held:
            raise LeaseLost
        self._handoff.hand_on(task.with_product(self._spec.name, product), announcer)
        if won is not None:
            won.remember(product)

    def _give_up(
        self, record: Record, subject: Subject | None, announcer: Announcer, span: Span, reason: Reason
    ) -> tuple[str, str]:
        """Dead letter, then the job's end: the letter must be on the broker before the record is committed."""
        log.error("dead_letter", code=reason.code, kind=reason.kind, error=reason.exception, origin=reason.stack)
        span.set_status(Status(StatusCode.ERROR, reason.message))
        span.set_attribute("error.type", reason.code.value)
        send_letter(
            self._outbox,
            self._settings.topic_prefix,
            record,
            reason,
            stage=self._spec.name,
            group=self._group,
            attempts=announcer.attempt,
        )
        metrics.DEAD_LETTERS.labels(self._spec.name, reason.code).inc()
        if subject is not None:
            announcer.failed(subject, reason.code, "The render failed; the operator finds it in the dead letters.")
        return "dead_letter", reason.code
