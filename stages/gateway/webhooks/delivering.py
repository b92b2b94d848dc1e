"""One attempt to tell one endpoint of one render, and what becomes of the notice: delivered, retried, a dead letter."""

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog
from opentelemetry.trace import Span, SpanKind, Tracer
from opentelemetry.util.types import AttributeValue
from pydantic import ValidationError

from shared.messages.codes import Code
from shared.messages.delivery_headers import read_delivery
from shared.messages.pipeline import WEBHOOKS
from shared.messages.tiers import Tier
from shared.messages.webhook import WebhookNotice
from shared.runtime import trace_context
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import FailureReason, JobContext, Retry
from shared.runtime.failures import RecordRefused
from shared.runtime.producers import EventProducer
from shared.runtime.settle.dead_letters import send_dead_letter
from shared.runtime.settle.retry_records import send_retry
from shared.storage import markers
from shared.storage.errors import ArtifactAltered, ArtifactRefused
from shared.storage.protocols import Documents
from shared.telemetry import metrics
from shared.telemetry.attributes import registered, set_attributes
from shared.telemetry.failing import failed, work_span
from shared.telemetry.ids import preset_trace_id
from shared.telemetry.propagation import inject
from stages.gateway.webhooks.addresses import URL
from stages.gateway.webhooks.endpoints import Endpoint, Endpoints
from stages.gateway.webhooks.message import body_of
from stages.gateway.webhooks.repeating import GoesOn, Repeating
from stages.gateway.webhooks.sending import Answer, Poster
from stages.gateway.webhooks.signing import Signer

SPAN = "send webhook"
GONE = "the endpoint answered 410 Gone"
UNDELIVERED = "transient_slow"
"""The failure class."""
log = structlog.get_logger()


def read_notice(record: Record) -> WebhookNotice | None:
    """The notice that a record is; None for any other record."""
    try:
        return WebhookNotice.parse(record.value or b"")
    except ValidationError:
        return None


class Delivering:
    """Delivers notices. Thread-safe."""

    def __init__(
        self,
        endpoints: Endpoints,
        documents: Documents,
        poster: Poster,
        signer: Signer,
        producers: EventProducer,
        tracer: Tracer,
        repeat: Repeating,
        *,
        prefix: str,
        group: str,
        tiers: Sequence[Tier],
        max_attempts: int,
    ) -> None:
        self._endpoints = endpoints
        self._documents = documents
        self._poster = poster
        self._signer = signer
        self._producers = producers
        self._tracer = tracer
        self._repeat = repeat
        self._prefix = prefix
        self._group = group
        self._tiers = tuple(tiers)
        self._max_attempts = max_attempts

    def deliver(self, record: Record, notice: WebhookNotice, goes_on: GoesOn) -> None:
        """Make one attempt; on return the notice is delivered, or the broker has it elsewhere. Raises Abandoned,
        ProducerFailed."""
        try:
            endpoint = self._repeat(lambda: self._endpoints.find(notice.tenant, notice.endpoint), goes_on)
            job = self._repeat(lambda: markers.read_request(self._documents, notice.tenant, notice.job_id), goes_on)
        except (ArtifactAltered, ArtifactRefused) as e:
            self._fail(record, notice, f"its endpoint or its render can't be read: {e}", goes_on)
            return
        if job is not None and job.purged_ms is not None:
            self._count("purged", notice)
            return
        if endpoint is None or endpoint.disabled is not None:
            self._count("unregistered" if endpoint is None else "disabled", notice)
            return
        origin = trace_context.of_task(record)
        with (
            preset_trace_id(origin.root_id),
            work_span(self._tracer, SPAN, self._attributes(record, notice, endpoint), context=origin.parent,
                      kind=SpanKind.CLIENT, links=origin.links) as span,
        ):  # fmt: skip
            answer = self._post(notice, endpoint)
            self._settle(record, notice, answer, span, goes_on)

    def refuse(self, record: Record, goes_on: GoesOn) -> None:
        """Dead-letter a record that is no notice. Raises Abandoned, ProducerFailed."""
        reason = FailureReason(Code.POISON, "poison", "the record can't be read as a notice of a webhook")
        self._dead_letter(record, None, reason, goes_on)

    def give_up(self, record: Record, notice: WebhookNotice | None, error: Exception, goes_on: GoesOn) -> None:
        """Dead-letter a record that a bug keeps from being handled. Raises Abandoned, ProducerFailed."""
        reason = FailureReason(Code.INTERNAL, "failed", str(error), type(error).__name__)
        self._dead_letter(record, notice, reason, goes_on)

    def defer(self, record: Record, notice: WebhookNotice, goes_on: GoesOn) -> None:
        """Put off a notice whose endpoint has too many others to be told of; no attempt is used. Raises Abandoned,
        ProducerFailed."""
        reason = FailureReason(Code.WEBHOOK_FAILED, UNDELIVERED, "too many notices wait for the endpoint")
        attempt = read_delivery(record.headers).attempt
        retry = Retry(reason=reason, tier=self._tiers[0], next_attempt=attempt, counted=False)
        self._repeat(lambda: send_retry(self._producers, self._prefix, record, retry), goes_on)
        self._count("deferred", notice)

    def _post(self, notice: WebhookNotice, endpoint: Endpoint) -> Answer:
        body = body_of(notice)
        signed = self._signer.headers(notice.tenant, endpoint.id, notice.id, datetime.now(UTC), body)
        trace = {name: value.decode() for name, value in inject()}
        with metrics.WEBHOOK_SECONDS.time():
            return self._poster.post(endpoint.url, {**signed, **trace}, body.encode())

    def _settle(self, record: Record, notice: WebhookNotice, answer: Answer, span: Span, goes_on: GoesOn) -> None:
        set_attributes(span, {"http.response.status_code": answer.status})
        if answer.is_accepted:
            set_attributes(span, {"outcome": self._count("delivered", notice)})
        elif answer.is_gone:
            self._repeat(lambda: self._endpoints.disable(notice.tenant, notice.endpoint, GONE), goes_on)
            set_attributes(span, {"outcome": self._count("gone", notice)})
        else:
            failed(span, str(answer.status or Code.WEBHOOK_FAILED))
            set_attributes(span, {"outcome": self._fail(record, notice, answer.in_words, goes_on)})

    def _fail(self, record: Record, notice: WebhookNotice, why: str, goes_on: GoesOn) -> str:
        """Send the notice to the next tier, or after the last attempt to the dead letters; returns the outcome."""
        delivery = read_delivery(record.headers)
        reason = FailureReason(Code.WEBHOOK_FAILED, UNDELIVERED, f"the endpoint {notice.endpoint} was not told: {why}")
        if delivery.attempt >= self._max_attempts:
            self._dead_letter(record, notice, reason, goes_on)
            return self._count("dead_letter", notice, why)
        tier = self._tiers[min(delivery.retries, len(self._tiers) - 1)]
        retry = Retry(reason=reason, tier=tier, next_attempt=delivery.attempt + 1)
        try:
            self._repeat(lambda: send_retry(self._producers, self._prefix, record, retry), goes_on)
        except RecordRefused as e:
            self.give_up(record, notice, e, goes_on)
            return self._count("dead_letter", notice, str(e))
        return self._count("retried", notice, why)

    def _dead_letter(
        self, record: Record, notice: WebhookNotice | None, reason: FailureReason, goes_on: GoesOn
    ) -> None:
        job = None
        if notice is not None:
            event = notice.event
            job = JobContext(notice.job_id, notice.tenant, event.request_id, event.batch, dict(event.labels))
        attempts = read_delivery(record.headers).attempt
        self._repeat(
            lambda: send_dead_letter(
                self._producers,
                self._prefix,
                record,
                reason,
                stage=WEBHOOKS,
                group=self._group,
                attempts=attempts,
                job=job,
            ),
            goes_on,
        )
        metrics.DEAD_LETTERS.labels(WEBHOOKS, reason.code).inc()
        log.error("dead_letter", code=reason.code, failure_class=reason.failure_class, job=notice and notice.job_id)

    @staticmethod
    def _attributes(record: Record, notice: WebhookNotice, endpoint: Endpoint) -> dict[str, AttributeValue]:
        match = URL.fullmatch(endpoint.url)
        return registered(
            {
                "http.request.method": "POST",
                # The path and the query of a URL may be what authorises its sender.
                "server.address": match[2] if match else None,
                "stage": WEBHOOKS,
                "attempt": read_delivery(record.headers).attempt,
                "tenant": notice.tenant,
                "render.job": notice.job_id,
                "messaging.message.id": notice.id,
            }
        )

    @staticmethod
    def _count(outcome: str, notice: WebhookNotice, why: str | None = None) -> str:
        metrics.WEBHOOKS.labels(outcome).inc()
        log.info("webhook", outcome=outcome, job=notice.job_id, tenant=notice.tenant, endpoint=notice.endpoint,
                 **({"reason": why} if why else {}))  # fmt: skip
        return outcome
