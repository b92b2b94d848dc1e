"""Carries out the disposition of a record: the only place that ends jobs, dead-letters records and counts outcomes."""

from collections.abc import Callable
from dataclasses import replace

import structlog
from opentelemetry import trace

from shared.messages.codes import Code
from shared.messages.events import Done, TerminalEvent
from shared.messages.outcome import outcome_of
from shared.messages.pipeline import FIRST
from shared.messages.task import RenderTask
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import (
    Cancelled,
    Completed,
    Conflict,
    DeadLetter,
    Disposition,
    Duplicate,
    Expired,
    PartitionLost,
    PassedOn,
    Rejected,
    Retry,
)
from shared.runtime.failures import SERVICE_FAULTS, RecordRefused
from shared.runtime.producers import EventProducer
from shared.runtime.settle import render_metrics
from shared.runtime.settle.cleanup import Cleanup
from shared.runtime.settle.dead_letters import send_dead_letter
from shared.runtime.settle.event_publisher import EventPublisher
from shared.runtime.settle.explanations import for_retry, for_user
from shared.runtime.settle.passed_on import pass_on
from shared.runtime.settle.render_summary import RenderSummary
from shared.runtime.settle.retry_records import send_retry
from shared.runtime.tenant_check import TenantCheck
from shared.runtime.waiting import current_task, set_settled
from shared.storage.errors import StoreUnavailable
from shared.storage.protocols import Artifacts
from shared.telemetry import metrics
from shared.telemetry.attributes import set_attributes
from shared.telemetry.failing import failed

log = structlog.get_logger()


class Settlement:
    """Settles the records of one stage; shared by its slots. Called in the record's process span."""

    def __init__(
        self,
        stage: str,
        group: str,
        topic_prefix: str,
        producers: EventProducer,
        events: EventPublisher,
        cleanup: Cleanup,
        summary: RenderSummary,
        artifacts: Artifacts | None = None,
        ended: Callable[[str, str], None] = lambda *_: None,
        tenants: TenantCheck | None = None,
    ) -> None:
        """``artifacts`` keeps the values of dead letters that are too large for their topic. ``ended`` is called by
        tenant and job id after a job has ended, again after each redelivery. ``tenants``: at the front, which has
        verified the requests that it sends on."""
        self._stage = stage
        self._group = group
        self._topic_prefix = topic_prefix
        self._producers = producers
        self._events = events
        self._cleanup = cleanup
        self._summary = summary
        self._artifacts = artifacts
        self._ended = ended
        self._tenants = tenants

    def settle(self, record: Record, disposition: Disposition) -> None:
        """Publish the outcome and clean up; on return the record may be committed.

        Raises exceptions that `failures.classify` maps; then the record is not settled.
        """
        job, task = disposition.job, disposition.task
        end: TerminalEvent | None = None
        match disposition:
            case Completed(done=done):
                end = self._events.end(done) if done is not None else None
            case Rejected() as rejected if job:
                end = self._events.rejected(job, rejected)
            case Cancelled() if job:
                end = self._events.failed(job, Code.CANCELLED, "The job was cancelled.")
            case Expired() if job:
                end = self._events.failed(job, Code.EXPIRED, "The deadline of the request (deadline_s) has passed.")
            case Conflict() if job:
                self._events.conflict(job)
            case Duplicate(terminal=terminal):
                self._events.repeat(terminal)
                # Also the end that an earlier delivery stored here, and may have been stopped before it was summarised.
                here = terminal.stage == self._stage and not isinstance(terminal, Done)
                by_client = self._ended_by_client(terminal)
                end = terminal if here or by_client else None
                if by_client:
                    render_metrics.ended(terminal, job)
            case Retry():
                disposition, end = self._retry(record, disposition)
            case DeadLetter():
                end = self._dead_letter(record, disposition)
            case PassedOn():
                pass_on(self._producers, self._sent_on(record))
            case PartitionLost():
                pass
            case _:
                raise ValueError(f"a disposition without a job: {disposition.label}")
        self._events.flush()
        set_settled()
        set_attributes(trace.get_current_span(), {"outcome": disposition.label})
        metrics.TASKS.labels(self._stage, disposition.label, disposition.code).inc()
        log.info("task_settled", outcome=disposition.label, code=disposition.code or None)
        if end is not None:
            self._summary.export(end, task or (job.render if job else None), current_task().queue_ms)
        if job is not None and not disposition.job_continues:
            self._ended(job.tenant, job.job_id)
        if task is not None and disposition.cleans_up:
            no_video = end is not None and not isinstance(disposition, Completed)
            self._clean_up(task, job_ended=disposition.frees_frames, failed=no_video)

    def _sent_on(self, record: Record) -> Record:
        """The record as it is sent to a topic where it may wait for long."""
        return record if self._tenants is None else self._tenants.with_proof(record)

    def _clean_up(self, task: RenderTask, *, job_ended: bool, failed: bool) -> None:
        """Clean up. The broker has the outcome: a failure here is no reason to process the record again."""
        try:
            self._cleanup.after(task, job_ended=job_ended, failed=failed)
        except Exception as e:  # noqa: BLE001 - see above
            log.warning("cleanup_failed", error=type(e).__name__, text=str(e))

    def _ended_by_client(self, terminal: TerminalEvent) -> bool:
        """Whether a client, which exports no summary and counts nothing, may have ended the job: it names the stage
        that was to have it, and the first one after a purge."""
        return outcome_of(terminal) == "cancelled" and terminal.stage in (FIRST, self._stage)

    def _retry(self, record: Record, retry: Retry) -> tuple[Retry | DeadLetter, TerminalEvent | None]:
        """Send the record to its retry topic, then publish when the next attempt is due. Returns what was settled: a
        record that the retry topic never accepts is a dead letter, and has the terminal event of its job.

        A service that dies in between sends it again: two attempts, of which the second finds the marker of the first.
        """
        reason, job = retry.reason, retry.job
        log.warning(
            "task_retried",
            code=reason.code,
            failure_class=reason.failure_class,
            error=reason.exception,
            text=reason.message,
            tier=retry.tier.name,
            next_attempt=retry.next_attempt,
            counted=retry.counted,
        )
        failed(trace.get_current_span(), reason.code)
        try:
            due_ms = send_retry(self._producers, self._topic_prefix, self._sent_on(record), retry)
        except RecordRefused as e:
            refused = replace(reason, message=f"{reason.message}; the retry topic refuses the record: {e}")
            dead_letter = DeadLetter(refused, job=job, task=retry.task)
            return dead_letter, self._dead_letter(record, dead_letter)
        metrics.TASK_FAILURES.labels(self._stage, reason.failure_class).inc()
        if job is not None:
            message = for_retry(reason, self._stage, retry.tier)
            try:
                self._events.retrying(job, reason.code, message, retry.tier, due_ms, retry.next_attempt)
            except SERVICE_FAULTS:
                raise
            except Exception:
                # A bug: settling again would only send the record again.
                log.exception("retrying_event_not_published")
        return retry, None

    def _dead_letter(self, record: Record, disposition: DeadLetter) -> TerminalEvent | None:
        """Send the dead letter first, then end the job: an operator finds the record of every failed job. Returns the
        terminal event; None without a job."""
        reason, job, task = disposition.reason, disposition.job, disposition.task
        log.error(
            "dead_letter",
            code=reason.code,
            failure_class=reason.failure_class,
            error=reason.exception,
            origin=reason.stack,
        )
        failed(trace.get_current_span(), reason.code)
        dead_letter = send_dead_letter(
            self._producers,
            self._topic_prefix,
            self._sent_on(record),
            reason,
            stage=self._stage,
            group=self._group,
            attempts=job.attempt if job else current_task().attempt,
            job=job,
            department=task.request.department if task else None,
            artifacts=self._artifacts,
        )
        metrics.DEAD_LETTERS.labels(self._stage, reason.code).inc()
        metrics.TASK_FAILURES.labels(self._stage, reason.failure_class).inc()
        if job is None:
            return None
        message = for_user(reason, self._stage, dead_letter)
        try:
            return self._events.failed(job, reason.code, message, dead_letter)
        except SERVICE_FAULTS:
            raise
        except StoreUnavailable as e:
            # Settled again, the record would be a second dead letter: publish the event, and store it nowhere.
            log.error("end_not_stored", code=e.code.value)
            return self._events.failed(replace(job, is_stored=False), reason.code, message, dead_letter)
        except Exception:
            # A bug: settling again would only send the dead letter again.
            log.exception("failed_event_not_published")
        return None
