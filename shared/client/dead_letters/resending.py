"""A dead letter as the record that is sent back: same key, same headers, same value, one new trace."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, get_current_span, set_span_in_context

from shared.client.connection import Connection
from shared.client.dead_letters.dead_letter import DeadLetter, Headers
from shared.client.dead_letters.rewriting import Rewritten
from shared.messages import tenant_signature
from shared.messages.delivery_headers import ORIGIN, OWN, REPLAY_COUNT, TRACE, without
from shared.messages.engines import ENGINES
from shared.messages.events import DeadLetterRef, Replayed
from shared.messages.headers import event_headers
from shared.messages.identity import BestEffortIdentity
from shared.messages.pipeline import FIRST, WEBHOOKS, step
from shared.messages.tenant_topics import requests_of
from shared.messages.topics import DLQ, work_topics
from shared.messages.topics import WEBHOOKS as NOTICES
from shared.telemetry.attributes import registered
from shared.telemetry.propagation import extract, inject, parent

LAST_FAILURE = "lipstage-replay-failure"
"""``<code>/<version>`` of the failure before the replay: the next dead letter of the record shows by it whether
anything has changed."""
REPLACED = OWN | TRACE | {LAST_FAILURE}
SPAN = "replay"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record that is ready to be sent."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    span: Span | None
    """None where spans are not exported."""
    trace: Sequence[tuple[str, bytes]]
    """The trace headers, which are among ``headers``, too."""

    @property
    def size(self) -> int:
        """Bytes that wait in the client until the broker has the record."""
        return len(self.value or b"") + len(self.key or b"") + sum([len(value) for _, value in self.headers if value])


def outgoing(
    connection: Connection, dead: DeadLetter, new: Rewritten, topic: str, replays: int, tenant: str | None = None
) -> Outgoing:
    """The record for the replay number ``replays``, under a new root span that is linked to the failed one.

    ``tenant`` is that of a request: it is signed anew where this client has a key. Without one the service accepts the
    sender's signature, however old, with the proof ``lipstage-taken`` that it added to the dead letter; a
    changed body then raises InvalidDeployment where records are to be signed.
    """
    own: Headers = [
        (REPLAY_COUNT, str(replays).encode()),
        (ORIGIN, str(dead.origin).encode()),
        (LAST_FAILURE, last_failure(dead).encode(errors="replace")),
    ]
    span = _span(connection, dead, topic) if connection.tracing.exports else None
    trace = inject(set_span_in_context(span, Context())) if span is not None else [("traceparent", _traceparent())]
    kept = without(new.headers, REPLACED)
    signs = tenant is not None and (new.changed or any(key.signs_for(tenant) for key in connection.signing_keys))
    if signs and (signature := connection.signature("request", tenant or "", new.key, new.value)):
        # That of the sender is as old as the dead letter, and not that of a changed body.
        kept = [*without(kept, tenant_signature.HEADERS), *signature]
    return Outgoing(topic, new.key, new.value, [*kept, *own, *trace], span, trace)


def _span(connection: Connection, dead: DeadLetter, topic: str) -> Span:
    """The root span of the new trace, linked to the failed span, or else to the sender's."""
    failed = get_current_span(parent(dead.errors.get("traceparent"))).get_span_context()
    sender = failed if failed.is_valid else get_current_span(extract(dead.original_headers)).get_span_context()
    return connection.tracing.tracer.start_span(
        SPAN,
        Context(),
        SpanKind.PRODUCER,
        registered(
            {
                "messaging.system": "kafka",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": topic,
                "stage": dead.stage,
                "error.type": dead.code or "unknown",
            }
        ),
        [Link(sender, registered({"link.kind": "replay_of"}))] if sender.is_valid else [],
    )


def _traceparent() -> bytes:
    """A new trace that this process has no span of: nothing exports it, and a span takes a tenth of a millisecond."""
    return f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-01".encode()


def last_failure(dead: DeadLetter) -> str:
    """The failure of a dead letter, by code and version."""
    return f"{dead.code}/{dead.version}"


def previous_failure(dead: DeadLetter) -> str | None:
    """The failure that its last replay followed; None for one that was not replayed."""
    values = [value for name, value in dead.headers if name == LAST_FAILURE and value is not None]
    return values[-1].decode(errors="replace") if values else None


class StagesByTopic:
    """The stage that reads each work topic, by the topic's full name: of every engine, enabled here or not, and of the
    topics that take the requests of one tenant. Notices of webhooks are read by the service of that name."""

    def __init__(self, topic_prefix: str) -> None:
        self._prefix = topic_prefix
        topics = work_topics(ENGINES) | {NOTICES: WEBHOOKS}
        self.shared = {topic_prefix + topic: stage for topic, stage in topics.items()}
        """Without the topics of tenants, of which there may be any number."""

    def of(self, topic: str) -> str | None:
        """The stage; None for any other topic."""
        if topic.startswith(self._prefix) and requests_of(topic.removeprefix(self._prefix)) is not None:
            return FIRST
        return self.shared.get(topic)


def group_of(connection: Connection, topic: str) -> str | None:
    """The consumer group of a work topic; None for any other topic."""
    stage = StagesByTopic(connection.settings.topic_prefix).of(topic)
    if stage is None:
        return None
    if stage == WEBHOOKS:
        return connection.settings.group(WEBHOOKS)
    prefix = connection.settings.topic_prefix
    engines = [engine for engine in ENGINES if topic.removeprefix(prefix) in step(stage).topics(engine)]
    return connection.settings.group(stage, engines[0] if step(stage).per_engine else None)


def replayed_event(
    connection: Connection, dead: DeadLetter, job: BestEffortIdentity, stage: str, replays: int, record: Outgoing
) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers of the event ``replayed``."""
    traceparent = dict(record.trace)["traceparent"].decode()
    event = Replayed(
        job_id=job.identity.job_id,
        tenant=job.tenant,
        request_id=job.identity.request_id or job.identity.job_id,
        time_ms=time.time_ns() // 1_000_000,
        attempt=1,
        trace_id=traceparent[3:35],
        replays=replays,
        sampled=traceparent.endswith("1"),
        batch=job.batch,
        labels=job.labels,
        stage=stage,
        dead_letter=DeadLetterRef(topic=connection.topic(DLQ), partition=dead.partition, offset=dead.offset),
    )
    headers: Headers = [*event_headers(event), *record.trace]
    return event.job_id.encode(), event.model_dump_json(exclude_none=True).encode(), headers
