"""From the terminal event of a render to one notice for each endpoint that is to be told of it."""

import structlog
from pydantic import ValidationError

from shared.messages.delivery_headers import TRACE
from shared.messages.events import TERMINAL_TYPES, TerminalEvent, parse_event
from shared.messages.webhook import WebhookNotice
from shared.runtime.consume.assignment import Record
from shared.runtime.failures import RecordRefused
from shared.runtime.producers import EventProducer
from shared.storage.errors import ArtifactAltered, ArtifactRefused
from shared.telemetry import metrics
from stages.gateway.webhooks.endpoints import Endpoint, Endpoints
from stages.gateway.webhooks.repeating import GoesOn, Repeating

KINDS = frozenset(f"lipstage.event.{kind}.v1".encode() for kind in TERMINAL_TYPES)
log = structlog.get_logger()


def may_end(record: Record) -> bool:
    """Whether the record may be a terminal event: most events tell by a header that they are none, and are not read."""
    kind = next((value for name, value in reversed(record.headers) if name == "ce_type"), None)
    return kind is None or kind in KINDS


class FanOut:
    """Produces the notices of an event."""

    def __init__(self, endpoints: Endpoints, producers: EventProducer, topic: str, repeat: Repeating) -> None:
        """``topic``: ``render.webhooks`` of the deployment."""
        self._endpoints = endpoints
        self._producers = producers
        self._topic = topic
        self._repeat = repeat

    def __call__(self, record: Record, goes_on: GoesOn) -> None:
        """Produce them; on return the broker has all. The event that is read again has the same ids.

        Raises Abandoned, ProducerFailed.
        """
        try:
            event = parse_event(record.value)
        except ValidationError:
            return  # The projection reports it.
        if isinstance(event, TerminalEvent):
            for endpoint in self._wanted(event, goes_on):
                self._send(WebhookNotice.of(event, endpoint.id), record, goes_on)

    def _wanted(self, event: TerminalEvent, goes_on: GoesOn) -> list[Endpoint]:
        try:
            known = self._repeat(lambda: self._endpoints.of(event.tenant), goes_on)
        except (ArtifactAltered, ArtifactRefused, ValueError) as e:
            # One tenant's document must not hold back the others.
            metrics.WEBHOOKS.labels("unreadable").inc()
            log.error("webhook_endpoints_unreadable", tenant=event.tenant, error=str(e))
            return []
        return [one for one in known if one.wants(event.type, event.time_ms)]

    def _send(self, notice: WebhookNotice, record: Record, goes_on: GoesOn) -> None:
        # The POST is part of the render's trace.
        trace = [(name, value) for name, value in record.headers if name.lower() in TRACE]
        headers = [*notice.as_headers(), *trace]
        key, value = notice.job_id.encode(), notice.as_value()
        try:
            self._repeat(lambda: self._producers.send(self._topic, key, value, headers).wait(), goes_on)
        except RecordRefused as e:
            metrics.WEBHOOKS.labels("refused").inc()
            log.error("webhook_notice_refused", job=notice.job_id, endpoint=notice.endpoint, error=str(e))
