"""The dead letter: the record byte for byte, with added headers that name its source and the reason."""

import socket
import time
from dataclasses import replace

import structlog

import shared
from shared.messages.headers import DLQ
from shared.messages.topics import DLQ as TOPIC
from shared.runtime.consume.assignment import Headers, Record
from shared.runtime.disposition import FailureReason
from shared.runtime.failures import DeliveryFailed, RecordRefused
from shared.runtime.producers import EventProducer
from shared.runtime.settle.explanations import for_operator
from shared.telemetry.propagation import inject

log = structlog.get_logger()

MAX_STACK_BYTES = 8 * 1024
MAX_MESSAGE_BYTES = 1024


def dead_letter_headers(record: Record, reason: FailureReason, *, stage: str, group: str, attempts: int) -> Headers:
    """The original headers in order, then the added ones: KIP-1191's six and more of the same family, UTF-8."""
    fields = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "group": group,
        "delivery.count": str(attempts),
        "message": for_operator(reason)[:MAX_MESSAGE_BYTES],
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
    # The context of this service has another name: the record keeps its one original traceparent.
    context = {name: value for name, value in inject() if name == "traceparent"}
    # A message or a stack may hold surrogates, for example of a file name that is not UTF-8.
    added: Headers = [(DLQ + name, value.encode(errors="replace")) for name, value in fields.items()]
    return [*record.headers, *added, *((DLQ + name, value) for name, value in context.items())]


def send_dead_letter(
    producers: EventProducer,
    prefix: str,
    record: Record,
    reason: FailureReason,
    *,
    stage: str,
    group: str,
    attempts: int,
) -> None:
    """Send the dead letter; on return the broker has it. Uses the raw producer: an instrumented one would add a second
    traceparent.

    A record that is too large for the dead-letter topic is sent without its value, then without its headers, then
    without its key: the added headers name its topic, partition and offset, and ``omitted`` the missing parts.
    Otherwise it would be delivered again for ever. Raises DeliveryFailed.
    """
    forms = (
        (record, ""),
        (replace(record, value=None), "value"),
        (replace(record, value=None, headers=()), "value, headers"),
        (replace(record, value=None, headers=(), key=None), "value, headers, key"),
    )
    for form, omitted in forms:
        headers = [*dead_letter_headers(form, reason, stage=stage, group=group, attempts=attempts)]
        if omitted:
            headers.append((f"{DLQ}omitted", omitted.encode()))
        try:
            producers.send(prefix + TOPIC, form.key, form.value, headers).wait()
        except RecordRefused as e:
            log.error("dead_letter_refused", error=str(e), omitted=omitted)
        else:
            return
    # The last form holds no byte of the record: the topic accepts nothing, and an operator must repair it.
    raise DeliveryFailed("the dead-letter topic accepts no dead letter at all")
