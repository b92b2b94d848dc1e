"""Record headers: CloudEvents 1.0 in Kafka's binary mode, written and read here.

``shared.telemetry`` writes the trace headers, exactly one traceparent per record; they are read here with the others.
"""

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass

from shared.messages.events import TERMINAL_TYPES, Accepted, AnyEvent, Conflict, Purged, Replayed
from shared.messages.names import JOB_ID, NAME
from shared.messages.pipeline import FIRST
from shared.messages.task import RenderTask

Header = tuple[str, bytes]

DLQ = "__dlq.errors."
"""Prefix of the headers that a dead letter adds: the six of KIP-1191, and more with the same prefix."""

_TYPE = re.compile(r"lipstage\.((?:task|event)\.[a-z]{1,32})\.v[0-9]{1,3}")
_REQUEST_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_ATTEMPT = re.compile(r"[1-9][0-9]{0,8}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class RecordHeaders:
    """What the headers of one record name; None for each value that is absent or malformed."""

    type: str | None = None
    """``task.<stage>`` or ``event.<type>``."""
    job_id: str | None = None
    tenant: str | None = None
    request_id: str | None = None
    """Of the events ``accepted`` and ``conflict`` only."""
    attempt: int | None = None
    """Of the events ``started`` and ``progress`` only."""
    traceparent: str | None = None


def cloud_event(kind: str, event_id: str, source: str, subject: str, time_ms: int) -> list[Header]:
    """The headers of one CloudEvent; ``kind`` carries the version, ``event_id`` is the same on every re-emission."""
    moment = datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC)
    values = {
        "ce_specversion": "1.0",
        "ce_type": f"lipstage.{kind}.v1",
        "ce_id": event_id,
        "ce_source": source,
        "ce_subject": subject,
        "ce_time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "content-type": "application/json",
    }
    return [(name, value.encode()) for name, value in values.items()]


def task_headers(task: RenderTask, stage: str, time_ms: int) -> list[Header]:
    """The headers of a task for ``stage``. Its id begins with the tenant, as those of events do."""
    event_id = f"{task.request.tenant}/{task.job_id}:{stage}"
    return cloud_event(f"task.{stage}", event_id, "/lipstage", task.job_id, time_ms)


def event_headers(event: AnyEvent) -> list[Header]:
    """The headers of an event.

    The three terminal events of a job share one id: a reader that drops repeated ids sees one of them; after a replay
    the ids end with its number, because stages repeat their events. Ids begin with
    the tenant, because two tenants may choose the same job id. The source is the stage that the event is about: for
    a terminal event, the one that ended the job.
    """
    # A stored terminal event keeps its source when another stage repeats it: readers compare source and id.
    match event:
        case Accepted() | Conflict():
            stage = FIRST
        case Purged() | Replayed():
            stage = ""  # A client publishes it.
        case _:
            stage = event.stage
    job = f"{event.tenant}/{event.job_id}"
    if event.type in TERMINAL_TYPES:
        event_id = f"{job}:end"
    elif event.type in ("accepted", "conflict"):
        event_id = f"{job}:{event.type}:{event.request_id}"
    elif event.type == "purged":
        event_id = f"{job}:purged"
    elif event.type == "progress":
        event_id = f"{job}:{stage}:progress:{event.attempt}:{event.done}"
    elif event.type == "warning":
        event_id = f"{job}:{stage}:warning:{event.code}"
    elif event.type == "waiting":
        event_id = f"{job}:{stage}:waiting:{event.time_ms}"
    elif event.type == "retrying":
        # Not every retry uses an attempt: the number alone may repeat.
        event_id = f"{job}:{stage}:retrying:{event.attempt}:{event.due_ms}"
    elif event.type == "replayed":
        event_id = f"{job}:replayed"
    elif event.type == "finished":
        event_id = f"{job}:{stage}:finished"
    else:
        event_id = f"{job}:{stage}:{event.type}:{event.attempt}"
    if event.replays:
        event_id += f":r{event.replays}"
    return cloud_event(f"event.{event.type}", event_id, f"/lipstage/{stage}".rstrip("/"), event.job_id, event.time_ms)


def read_headers(headers: Iterable[tuple[str, bytes | None]] | None) -> RecordHeaders:
    """What the headers of a record name; the last readable value of a name counts. Never raises.

    ``ce_subject`` and ``ce_id`` that name different jobs name none.
    """
    values = _last_values(headers)
    job, _, detail = values.get("ce_id", "").partition(":")
    tenant, _, job_id = job.partition("/")
    named = {text for text in (values.get("ce_subject"), job_id) if text and re.fullmatch(JOB_ID, text)}
    kind = _TYPE.fullmatch(values.get("ce_type", ""))
    request_id, attempt = _detail(detail.split(":"))
    traceparent = values.get("traceparent", "")
    known = len(named) == 1
    return RecordHeaders(
        type=kind[1] if kind else None,
        job_id=named.pop() if known else None,
        tenant=tenant if known and re.fullmatch(NAME, tenant) else None,
        request_id=request_id,
        attempt=attempt,
        traceparent=traceparent if _TRACEPARENT.fullmatch(traceparent) else None,
    )


def _detail(parts: list[str]) -> tuple[str | None, int | None]:
    """Request id and attempt from what follows the job in a ``ce_id``, see ``event_headers``."""
    match parts:
        case ["accepted" | "conflict", text] if _REQUEST_ID.fullmatch(text):
            return text, None
        case [_, "started" | "progress", text, *_] if _ATTEMPT.fullmatch(text):
            return None, int(text)
    return None, None


def _last_values(headers: Iterable[tuple[str, bytes | None]] | None) -> dict[str, str]:
    """The last value of each header that is UTF-8, names in lower case."""
    values: dict[str, str] = {}
    for name, value in headers or ():
        if value is not None:
            try:
                values[name.lower()] = value.decode()
            except UnicodeDecodeError:
                continue
    return values
