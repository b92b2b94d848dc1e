"""The dead letter: the record byte for byte, with added headers that name its source and the reason."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256

import structlog

import shared
from shared.messages.dead_letters import dead_letter_headers_of
from shared.messages.delivery_headers import read_delivery
from shared.messages.events import DeadLetterRef
from shared.messages.refs import ArtifactRef
from shared.messages.task import MAX_ENVELOPE_BYTES
from shared.messages.topics import DLQ as TOPIC
from shared.runtime.consume.assignment import Headers, Record
from shared.runtime.disposition import FailureReason, JobContext
from shared.runtime.failures import DeliveryFailed, RecordRefused
from shared.runtime.producers import EventProducer
from shared.runtime.retry_policy import best_effort
from shared.runtime.settle.explanations import for_operator
from shared.storage import keys
from shared.storage.protocols import Artifacts
from shared.telemetry.propagation import inject

log = structlog.get_logger()

MAX_STACK_BYTES = 8 * 1024
MAX_MESSAGE_BYTES = 1024


def dead_letter_headers(
    record: Record,
    reason: FailureReason,
    *,
    stage: str,
    group: str,
    attempts: int,
    job: JobContext | None = None,
    department: str | None = None,
    body: ArtifactRef | None = None,
    omitted: str = "",
) -> Headers:
    """The original headers in order, then the added ones: see `shared.messages.dead_letters`.

    ``body`` references the record's value where the object store keeps it, ``omitted`` lists the parts of the record
    that are lost.
    """
    # The context of this service has another name: the record keeps its one original traceparent.
    context = dict(inject()).get("traceparent", b"")
    fields = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "group": group,
        "delivery.count": str(attempts),
        "message": for_operator(reason).encode(errors="replace")[:MAX_MESSAGE_BYTES].decode(errors="ignore"),
        "class": reason.failure_class,
        "code": reason.code.value,
        "exception.class": reason.exception,
        "exception.stacktrace": reason.stack.encode(errors="replace")[-MAX_STACK_BYTES:].decode(errors="ignore"),
        "stage": stage,
        "host": socket.gethostname(),
        "version": shared.__version__,
        "timestamp": str(time.time_ns() // 1_000_000),
        "original.timestamp": str(record.timestamp_ms),
        "traceparent": context.decode(),
        "replay.count": str(read_delivery(record.headers).replays),
        "omitted": omitted,
    }
    if job is not None:
        fields |= {"job": job.job_id, "tenant": job.tenant, "department": department or ""}
    if body is not None:
        fields |= {"value.key": body.key, "value.sha256": body.sha256, "value.size": str(body.size)}
    return [*record.headers, *dead_letter_headers_of(fields)]


def send_dead_letter(
    producers: EventProducer,
    prefix: str,
    record: Record,
    reason: FailureReason,
    *,
    stage: str,
    group: str,
    attempts: int,
    job: JobContext | None = None,
    department: str | None = None,
    artifacts: Artifacts | None = None,
) -> DeadLetterRef:
    """Send the dead letter; on return the broker has it, at the place that is returned. Uses the raw producer: an
    instrumented one would add a second traceparent.

    ``artifacts`` keeps a value that is larger than a valid record's, so that the topic stays small. A dead letter that
    is too large for the topic all the same is sent without its value, then without its headers, then without its key:
    the added headers name its topic, partition and offset, and ``omitted`` the missing parts. Otherwise it would be
    delivered again for ever. Raises DeliveryFailed.
    """
    body = _stored_body(artifacts, record)
    for form, omitted in _forms(record, body):
        headers = dead_letter_headers(
            form,
            reason,
            stage=stage,
            group=group,
            attempts=attempts,
            job=job,
            department=department,
            body=body,
            omitted=omitted,
        )
        try:
            report = producers.send(prefix + TOPIC, form.key, form.value, headers).wait()
        except RecordRefused as e:
            log.error("dead_letter_refused", error=str(e), omitted=omitted)
        else:
            return DeadLetterRef(topic=prefix + TOPIC, partition=report.partition, offset=report.offset)
    # The last form holds no byte of the record: the topic accepts nothing, and an operator must repair it.
    raise DeliveryFailed("the dead-letter topic accepts no dead letter at all")


def _forms(record: Record, body: ArtifactRef | None) -> Iterator[tuple[Record, str]]:
    """The record as it is sent, and what that leaves out: from everything to nothing."""
    if body is None:
        yield record, ""
    form = replace(record, value=None)
    lost = [] if body is not None else ["value"]
    yield form, ", ".join(lost)
    form, lost = replace(form, headers=()), [*lost, "headers"]
    yield form, ", ".join(lost)
    yield replace(form, key=None), ", ".join([*lost, "key"])


def _stored_body(artifacts: Artifacts | None, record: Record) -> ArtifactRef | None:
    """Put a large value into the object store; None for a small one, and when the object store refuses or is away.

    The key names the record: a dead letter that is sent again after a crash finds the same object.
    """
    value, body = record.value, None
    if artifacts is None or value is None or len(value) <= MAX_ENVELOPE_BYTES:
        return None
    # ValueError: the topic's name can't be part of a key.
    with suppress(ValueError), best_effort():
        digest = sha256(value).hexdigest()
        body = artifacts.put_bytes(value, keys.dead_letter_body(record.topic, record.partition, record.offset, digest))
    return body
