"""The path of one record, from its arrival in a slot until it may be committed."""

import time
from collections.abc import Callable
from dataclasses import replace

import structlog
from opentelemetry.trace import SpanKind, Tracer

from shared.messages.tenant_topics import without_tenant
from shared.runtime import fault_injection, trace_context
from shared.runtime.breaker import CircuitBreaker
from shared.runtime.consume.assignment import PartitionAssignment, Record
from shared.runtime.disposition import Completed, DeadLetter, Disposition, FailureReason, Retry
from shared.runtime.execute.early_attempt import EarlyAttempt
from shared.runtime.execute.worker_process import Worker
from shared.runtime.failures import classify
from shared.runtime.process.deadlines import Deadlines
from shared.runtime.process.decoding import Decoder
from shared.runtime.process.record_work import Received, RecordWork
from shared.runtime.settle.event_publisher import EventPublisher
from shared.runtime.settle.settlement import Settlement
from shared.runtime.waiting import TaskWaits, clear_current_job, task_waits
from shared.telemetry import metrics
from shared.telemetry.attributes import registered
from shared.telemetry.failing import work_span
from shared.telemetry.ids import preset_trace_id

log = structlog.get_logger()


class TaskProcessor:
    """Processes the records of one stage. Shared by its slots; runs in a slot's thread."""

    def __init__(
        self,
        stage: str,
        group: str,
        max_crashes: int,
        decoder: Decoder,
        events: EventPublisher,
        work: RecordWork,
        settlement: Settlement,
        breaker: CircuitBreaker,
        tracer: Tracer,
        deadlines: Deadlines,
        stopping: Callable[[], bool],
    ) -> None:
        """``stopping`` returns whether the service is shutting down; then waiting tasks are abandoned."""
        self._stage = stage
        self._group = group
        self._max_crashes = max_crashes
        self._decoder = decoder
        self._events = events
        self._work = work
        self._settlement = settlement
        self._breaker = breaker
        self._tracer = tracer
        self._deadlines = deadlines
        self._stopping = stopping

    def handle(
        self, record: Record, assignment: PartitionAssignment, worker: Worker, early: EarlyAttempt | None = None
    ) -> None:
        """Process the record and settle it, in its span; on return it may be committed.

        ``early`` is an attempt that may be the task's, and uses the worker.

        Raises exceptions for which `failures.classify` returns None: nothing is settled, the service ends, and the
        record is delivered again. After Abandoned the record is delivered again, too; it ends no service.
        """
        start, now_ms = time.monotonic(), time.time_ns() // 1_000_000
        wait_ms = max(0, now_ms - record.appended_ms(now_ms))
        self._deadlines.observe(record)
        # One death more than a record may cause: reading it may be what kills the service.
        unread = record.crashes > self._max_crashes
        origin = trace_context.of_unread(record) if unread else self._decoder.trace(record)
        received = self._work.receive(record, assignment, worker, early)
        clear_current_job()
        waits = TaskWaits(
            self._stage,
            self._events.waiting,
            stopping=lambda: self._stopping() or not assignment.held,
            revoking=lambda: assignment.revoking,
            first_attempt=self._work.first_attempt(received),
            replays=received.delivery.replays,
            queue_ms=wait_ms,
        )
        with (
            task_waits(waits),
            self._events.of_one_record(),
            preset_trace_id(origin.root_id),
            work_span(
                self._tracer,
                f"process {without_tenant(record.topic)}",
                registered(trace_context.span_attributes(record, self._group, wait_ms)),
                context=origin.parent,
                kind=SpanKind.CONSUMER,
                links=origin.links,
            ),
        ):
            exemplar = metrics.exemplar()
            metrics.QUEUE_SECONDS.labels(self._stage).observe(wait_ms / 1000, exemplar=exemplar)
            disposition: Disposition | None = None
            try:
                disposition = self._work.until_outcome(received)
                self._settlement.settle(record, disposition)
            except Exception as e:  # noqa: BLE001 - `classify` maps every class
                self._settle_after_failure(received, disposition, e)
            else:
                if isinstance(disposition, Completed):
                    self._breaker.succeeded()
            fault_injection.reached("settle")
        metrics.TASK_SECONDS.labels(self._stage).observe(time.monotonic() - start, exemplar=exemplar)
        clear_current_job()

    def _settle_after_failure(self, received: Received, disposition: Disposition | None, error: Exception) -> None:
        """Settle a record whose processing or settlement failed. Raises ``error`` where broker or machine are at fault.

        A retry finds what is complete already: the marker, the terminal event.
        """
        fallback = self._work.disposition_of(error, disposition.task if disposition else None, received)
        if disposition is not None:
            # A job that goes on elsewhere must not end here.
            goes_on = disposition.job_continues and not isinstance(disposition, Retry)
            fallback = replace(fallback, job=None if goes_on else disposition.job)
        try:
            self._settlement.settle(received.record, fallback)
        except Exception as e:
            reason = classify(e)
            if not isinstance(reason, FailureReason) or isinstance(fallback, DeadLetter):
                raise
            log.exception("retry_not_settled")
            dead_letter = DeadLetter(reason, job=fallback.job, task=fallback.task)
            self._settlement.settle(received.record, dead_letter)
