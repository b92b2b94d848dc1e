"""The dead letter: the record as it came, byte for byte, and beside it why it is here."""

import socket
import time
from dataclasses import dataclass

import shared
from shared.messages.codes import Code
from shared.messages.headers import DLQ
from shared.messages.topics import DLQ as TOPIC
from shared.runtime.outbox import Delivery, Outbox
from shared.runtime.record import Headers, Record
from shared.telemetry.propagation import inject
from shared.telemetry.redaction import scrubbed

MAX_STACK_BYTES = 8 * 1024
MAX_MESSAGE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a record is given up."""

    code: Code
    kind: str
    """poison | crash_loop | failed"""
    message: str
    exception: str = ""
    stack: str = ""


def letter_headers(record: Record, reason: Reason, *, stage: str, group: str, attempts: int) -> Headers:
    """The original headers, all and in order, then ours: KIP-1191's six and more of the same family, UTF-8."""
    added = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "group": group,
        "delivery.count": str(attempts),
        "message": scrubbed(reason.message)[:MAX_MESSAGE_BYTES],
        "class": reason.kind,
        "code": reason.code.value,
        "exception.class": reason.exception,
        "exception.stacktrace": reason.stack.encode()[-MAX_STACK_BYTES:].decode(errors="ignore"),
        "stage": stage,
        "host": socket.gethostname(),
        "version": shared.__version__,
        "timestamp": str(time.time_ns() // 1_000_000),
        "original.timestamp": str(record.timestamp_ms),
    }
    # Our context under a name of its own: the record keeps the one traceparent it came with.
    context = {name: value for name, value in inject() if name == "traceparent"}
    ours: Headers = [(DLQ + name, value.encode()) for name, value in added.items()]
    return [*record.headers, *ours, *((DLQ + name, value) for name, value in context.items())]


def send_letter(
    outbox: Outbox, prefix: str, record: Record, reason: Reason, *, stage: str, group: str, attempts: int
) -> Delivery:
    """Send it by the raw producer: an instrumented one would add a second traceparent."""
    headers = letter_headers(record, reason, stage=stage, group=group, attempts=attempts)
    return outbox.send(prefix + TOPIC, record.key, record.value, headers)
