"""Records that can't be sent back: each becomes a dead letter, and its job, where it is known, fails."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from threading import Event
from typing import TypeVar

import structlog
from opentelemetry import trace
from opentelemetry.trace import Span

from shared.messages.codes import Rejected
from shared.messages.delivery_headers import read_delivery, source_of
from shared.messages.events import DeadLetterRef
from shared.messages.identity import identify_best_effort
from shared.messages.pipeline import RELAY
from shared.messages.tenant_topics import takes_requests
from shared.messages.topics import WEBHOOKS
from shared.messages.validation import parse_request
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import FailureReason, JobContext
from shared.runtime.failures import SERVICE_FAULTS, Abandoned, InvalidRecord, ProducerFailed
from shared.runtime.process.decoding import Decoder
from shared.runtime.process.request_task import known_of
from shared.runtime.producers import EventProducer
from shared.runtime.settle.dead_letters import send_dead_letter
from shared.runtime.settle.event_publisher import EventPublisher
from shared.runtime.settle.explanations import for_user
from shared.runtime.settle.render_summary import RenderSummary
from shared.runtime.waiting import TaskWaits, clear_current_job, current_job, set_current_job, task_waits
from shared.storage import markers
from shared.storage.errors import StoreUnavailable
from shared.storage.protocols import Artifacts, Documents
from shared.telemetry import metrics
from shared.telemetry.failing import failed

RETRY_S = 1.0
TRANSIENT = (*SERVICE_FAULTS, StoreUnavailable)
"""What is repeated here: the relay's object store does not retry, so that nothing else waits for it."""
Result = TypeVar("Result")
log = structlog.get_logger()


class Refusals:
    """Refuses records in a thread of its own, because the writes wait for the broker and the object store."""

    def __init__(
        self,
        group: str,
        prefix: str,
        producers: EventProducer,
        events: EventPublisher,
        decoder: Decoder,
        documents: Documents,
        artifacts: Artifacts,
        summary: RenderSummary,
    ) -> None:
        """``decoder`` reads the job of a task, ``documents`` has that of a request; ``artifacts`` keeps a large value
        of a dead letter."""
        self._group = group
        self._prefix = prefix
        self._producers = producers
        self._events = events
        self._decoder = decoder
        self._documents = documents
        self._artifacts = artifacts
        self._summary = summary
        self._stop = Event()
        self._thread = ThreadPoolExecutor(1, "refusals")

    def refuse(self, record: Record, reason: FailureReason, span: Span) -> "Future[None]":
        """Dead-letter the record and end its job; when the future has a result, the record may be committed.

        While the broker or the object store is away it is repeated. The future raises Abandoned after ``close``.
        """
        return self._thread.submit(self._refuse, record, reason, span)

    def close(self) -> None:
        """Give up what is not written yet: it is delivered again."""
        self._stop.set()
        self._thread.shutdown(cancel_futures=True)

    def _refuse(self, record: Record, reason: FailureReason, span: Span) -> None:
        attempts = read_delivery(record.headers).attempt
        with trace.use_span(span, record_exception=False, set_status_on_exception=False), task_waits(TaskWaits(RELAY)):
            failed(span, reason.code)
            try:
                job = self._repeat(lambda: self._job_of(record))
                log.error("dead_letter", code=reason.code, failure_class=reason.failure_class, error=reason.exception)
                dead_letter = self._repeat(
                    lambda: send_dead_letter(
                        self._producers,
                        self._prefix,
                        record,
                        reason,
                        stage=RELAY,
                        group=self._group,
                        attempts=attempts,
                        job=job,
                        artifacts=self._artifacts,
                    )
                )
                metrics.DEAD_LETTERS.labels(RELAY, reason.code).inc()
                metrics.TASK_FAILURES.labels(RELAY, reason.failure_class).inc()
                if job is not None:
                    self._repeat(lambda: self._end(job, reason, dead_letter))
            finally:
                clear_current_job()

    def _job_of(self, record: Record) -> JobContext | None:
        """The job of the record; None when it names none, or its documents can't be read. Raises StoreUnavailable."""
        try:
            topic = read_delivery(record.headers).retry_topic or ""
            if topic == self._prefix + WEBHOOKS:
                return None  # The job has ended, and does not fail with a notice of its end.
            if topic.startswith(self._prefix) and takes_requests(topic.removeprefix(self._prefix)):
                self._read_request(record)
            else:
                self._decoder.decode(record)
        except InvalidRecord:
            pass  # Its job is known, too, or it names none.
        except TRANSIENT:
            raise
        except Exception:
            # A bug must not keep the record from becoming a dead letter.
            log.exception("job_not_read")
        delivery, job = read_delivery(record.headers), current_job()
        return job and replace(job, attempt=delivery.attempt, replays=delivery.replays)

    def _read_request(self, record: Record) -> None:
        """Set the job of a request, unless another request has its id. Raises StoreUnavailable, ArtifactAltered,
        ArtifactRefused."""
        source = source_of(record.headers, record.topic, record.partition, record.offset)
        named = identify_best_effort(record.value, record.key, source.topic, source.partition, source.offset)
        identity = named.identity
        stored = markers.read_request(self._documents, named.tenant, identity.job_id)
        if stored is not None and stored.body_sha256 == sha256(record.value or b"").hexdigest():
            job = JobContext(identity.job_id, named.tenant, identity.request_id, named.batch, named.labels)
            request = None
            with suppress(Rejected):  # The front had read it; without it the summary knows less.
                request = parse_request(record.value)
            # The front sent the record: its trace context is ours.
            set_current_job(replace(job, render=known_of(record, request, job, trusted=True)))

    def _end(self, job: JobContext, reason: FailureReason, dead_letter: DeadLetterRef) -> None:
        with self._events.of_one_record():
            try:
                end = self._events.failed(job, reason.code, for_user(reason, RELAY, dead_letter), dead_letter)
                self._events.flush()
                if end is not None:
                    self._summary.export(end, job.render)
            except TRANSIENT:
                raise
            except Exception:
                # A bug: refusing the record again would only send the dead letter again.
                log.exception("failed_event_not_published")

    def _repeat(self, step: Callable[[], Result]) -> Result:
        """Call ``step`` until broker and object store accept it. Raises Abandoned when the service ends, ProducerFailed
        when it must."""
        while not self._stop.is_set():
            try:
                return step()
            except ProducerFailed:
                raise
            except TRANSIENT as e:
                log.warning("refusal_repeated", error=type(e).__name__, text=str(e))
                self._stop.wait(RETRY_S)
        raise Abandoned("the service ends")
