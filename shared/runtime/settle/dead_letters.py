"""The dead letter: the record as it came, byte for byte, and beside it why it is here."""

import socket
import time
from dataclasses import replace

import structlog

import shared
from shared.messages.headers import DLQ
from shared.messages.topics import DLQ as TOPIC
from shared.runtime.consume.assignment import Headers, Record
from shared.runtime.disposition import DeadLetterReason
from shared.runtime.failures import DeliveryFailed, RecordRefused
from shared.runtime.producers import EventProducer
from shared.telemetry.propagation import inject
from shared.telemetry.scrubbing import scrubbed

log = structlog.get_logger()

MAX_STACK_BYTES = 8 * 1024
MAX_MESSAGE_BYTES = 1024


def dead_letter_headers(record: Record, reason: DeadLetterReason, *, stage: str, group: str, attempts: int) -> Headers:
    """The original headers, all and in order, then ours: KIP-1191's six and more of the same family, UTF-8."""
    added = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "group": group,
        "delivery.count": str(attempts),
        "message": scrubbed(reason.message)[:MAX_MESSAGE_BYTES],
        "class": reason.failure_class,
        "code": reason.code.value,
        "exception.class": reason.exception,
        "exception.stacktrace": reason.stack.encode(errors="replace")[-MAX_STACK_BYTES:].decode(errors="ignore"),
        "stage": stage,
        "host": socket.gethostname(),
        "version": shared.__version__,
        "timestamp": str(time.time_ns() // 1_000_000),
        "original.timestamp": str(record.timestamp_ms),
    }
    # Our context under a name of its own: the record keeps the one traceparent it came with.
    context = {name: value for name, value in inject() if name == "traceparent"}
    # A message or a stack may hold what is no text, as the bytes of a file's name.
    ours: Headers = [(DLQ + name, value.encode(errors="replace")) for name, value in added.items()]
    return [*record.headers, *ours, *((DLQ + name, value) for name, value in context.items())]


def send_dead_letter(
    producers: EventProducer,
    prefix: str,
    record: Record,
    reason: DeadLetterReason,
    *,
    stage: str,
    group: str,
    attempts: int,
) -> None:
    """Have the dead letter on the broker when this returns; by the raw producer: an instrumented one would add a second
    traceparent.

    A record that does not fit, as its topic takes larger ones than the dead letters' does, is sent without its value,
    and if need be without its headers: ours name where it lies, and ``omitted`` what is not here. Without that it would
    come again for ever. Raises DeliveryFailed.
    """
    forms = (
        (record, ""),
        (replace(record, value=None), "value"),
        (replace(record, value=None, headers=()), "value, headers"),
        (replace(record, value=None, headers=(), key=None), "value, headers, key"),
    )
    for sent, omitted in forms:
        headers = [*dead_letter_headers(sent, reason, stage=stage, group=group, attempts=attempts)]
        if omitted:
            headers.append((f"{DLQ}omitted", omitted.encode()))
        try:
            producers.send(prefix + TOPIC, sent.key, sent.value, headers).wait()
        except RecordRefused as e:
            log.error("dead_letter_refused", error=str(e), omitted=omitted)
        else:
            return
    # Not one byte of the record was in the last: the topic takes nothing, which is an operator's to repair.
    raise DeliveryFailed("the topic of dead letters takes no dead letter at all")
