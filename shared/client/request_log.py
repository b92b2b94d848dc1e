"""Finds requests on the topics of requests: a job that no service has taken yet has neither events nor documents."""

import hashlib
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Message

from shared.client import event_log, topic_log
from shared.client.connection import Connection
from shared.client.errors import TopicMissing
from shared.client.job_key import JobKey
from shared.messages.codes import Rejected
from shared.messages.delivery_headers import Coordinates, Headers, source_of
from shared.messages.identity import identify_best_effort
from shared.messages.lanes import LANES, lane_topic
from shared.messages.refs import InputRef
from shared.messages.request import Batch
from shared.messages.tenant_signature import verify
from shared.messages.tenant_topics import requests_of
from shared.messages.topics import REQUESTS
from shared.messages.validation import parse_request
from shared.storage.markers import RequestRecord

MAX_REQUESTS = 100_000
"""How many of the newest requests of each lane are read."""


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request as it lies in the topic; a service may have processed it since."""

    key: JobKey
    record: RequestRecord
    """What the front of the pipeline stores of it."""
    batch: Batch | None
    labels: dict[str, str]
    time_ms: int
    """The broker's time of the record, milliseconds since the epoch."""


def find(connection: Connection, job: JobKey, *, max_requests: int = MAX_REQUESTS) -> SentRequest | None:
    """The first request for the job among the newest; None when there is none, or the topic can't be read.

    Raises BrokerUnreachable.
    """
    return find_each(connection, [job], job.tenant, max_requests=max_requests).get(job)


def find_each(
    connection: Connection, jobs: Collection[JobKey], tenant: str, *, max_requests: int = MAX_REQUESTS
) -> dict[JobKey, SentRequest]:
    """As ``find``, of several jobs by one scan; all of them are on the topics that hold the requests of ``tenant``."""
    names = {job.job_id.encode() for job in jobs}

    def concerns(message: Message) -> bool:
        key, value = message.key(), message.value() or b""
        # Without key and without `job_id` the id is computed from the record itself.
        return key in names or any(name in value for name in names) or (not key and b"job_id" not in value)

    read, _ = _scan(connection, max_requests, concerns, tenant)
    found: dict[JobKey, SentRequest] = {}
    for request in sorted(read, key=lambda request: request.time_ms):
        if request.key in jobs:
            found.setdefault(request.key, request)
    return found


def newest(connection: Connection, max_requests: int, tenant: str | None = None) -> list[SentRequest]:
    """The newest requests, in no order: of every tenant, or of the topics that hold those of one. Empty when the topic
    can't be read. Raises BrokerUnreachable."""
    return _scan(connection, max_requests, lambda _: True, tenant)[0]


def of_batch(
    connection: Connection, batch_id: str, tenant: str, *, max_requests: int = MAX_REQUESTS
) -> tuple[list[SentRequest], bool]:
    """The requests of a batch among the newest, and whether older ones were left unread.

    Empty and True when the topic can't be read. Raises BrokerUnreachable.
    """
    name = batch_id.encode()
    found, cut = _scan(connection, max_requests, lambda message: name in (message.value() or b""), tenant)
    return [r for r in found if r.batch is not None and r.batch.id == batch_id and r.key.tenant == tenant], cut


def of_tenant(
    connection: Connection, tenant: str, *, max_requests: int = MAX_REQUESTS
) -> tuple[list[SentRequest], bool]:
    """The requests of a tenant among the newest, and whether older ones were left unread.

    Empty and True when the topic can't be read. Raises BrokerUnreachable.
    """
    found, cut = _scan(connection, max_requests, lambda _: True, tenant)
    return [request for request in found if request.key.tenant == tenant], cut


def _scan(
    connection: Connection, max_requests: int, concerns: Callable[[Message], bool], tenant: str | None = None
) -> tuple[list[SentRequest], bool]:
    """The requests of both lanes. A topic that can't be read has none, and cuts the answer."""
    found: list[SentRequest] = []
    cut = False
    sources = event_log.sources(connection, tenant)
    names = [connection.topic(REQUESTS) if one is None else connection.topic_of(REQUESTS, one) for one in sources]
    for topic in (lane_topic(name, lane) for name in names for lane in LANES):
        try:
            window = topic_log.newest(connection, topic, max_requests)
        except TopicMissing:  # Also when this client may not read it.
            cut = True
            continue
        read = topic_log.records(connection, topic, window.offsets)
        requests = ((message, _request(message)) for message in read if concerns(message))
        found += [request for message, request in requests if _may_name(connection, message, request.key.tenant)]
        cut = cut or window.cut
    return found, cut


def _may_name(connection: Connection, message: Message, tenant: str) -> bool:
    """Whether the sender of a request may speak for its tenant, as far as this client can see: without keys it sees no
    signature. The job of another one must not show up among the tenant's."""
    settings = connection.settings
    match settings.tenancy:
        case "single":
            return tenant == settings.tenant
        case "topic":
            return requests_of((message.topic() or "").removeprefix(settings.topic_prefix)) == tenant
        case "signed" if connection.signing_keys:
            headers: Any = message.headers() or ()
            key, value = topic_log.key_of(message), topic_log.value_of(message)
            try:
                return verify(connection.signing_keys, "request", key, value, headers).tenant == tenant
            except Rejected:
                return False
    return True


def _request(message: Message) -> SentRequest:
    return request_of(
        topic_log.key_of(message),
        topic_log.value_of(message),
        message.headers(),  # type: ignore[arg-type]
        Coordinates(message.topic() or "", message.partition() or 0, message.offset() or 0),
        message.timestamp()[1],
    )


def request_of(
    key: bytes | None, value: bytes | None, headers: Headers | None, place: Coordinates, time_ms: int
) -> SentRequest:
    """The request of a record, valid or not, with the identity that the front of the pipeline gives it.

    ``time_ms`` is the broker's time of the record, milliseconds since the epoch.
    """
    # The record of a retry or a replay is another copy of the request.
    source = source_of(headers, place.topic, place.partition, place.offset)
    best_effort = identify_best_effort(value, key, source.topic, source.partition, source.offset)
    inputs, owner, output = tuple[InputRef, ...](), "", None
    with suppress(Rejected):
        request = parse_request(value)
        inputs, owner, output = (request.portrait, request.speech), request.owner or "", request.output
    return SentRequest(
        key=JobKey(best_effort.tenant, best_effort.identity.job_id),
        record=RequestRecord(
            request_id=best_effort.identity.request_id,
            body_sha256=hashlib.sha256(value or b"").hexdigest(),
            inputs=inputs,
            owner=owner,
            output=output,
        ),
        batch=best_effort.batch,
        labels=best_effort.labels,
        time_ms=time_ms,
    )
