"""Record headers: CloudEvents 1.0 in Kafka's binary mode, our own, and those of a dead letter.

Trace headers are not made here: exactly one traceparent is telemetry's to add.
"""

import datetime
from collections.abc import Iterable

from shared.messages.events import ENDS, AnyEvent
from shared.messages.task import RenderTask

Header = tuple[str, bytes]

DLQ = "__dlq.errors."
"""Prefix of a dead letter's own headers (KIP-1191's six, and ours in the same family)."""


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
    """Of a task for ``stage``. Its id begins with the tenant, as those of events do."""
    event_id = f"{task.request.tenant}/{task.job_id}:{stage}"
    return cloud_event(f"task.{stage}", event_id, "/lipstage", task.job_id, time_ms)


def event_headers(event: AnyEvent) -> list[Header]:
    """Of an event. A job's three possible ends share one id: a reader that drops repeated ids sees one end.

    Ids begin with the tenant: two tenants may choose the same job id.
    """
    stage = getattr(event, "stage", "")
    job = f"{event.tenant}/{event.job_id}"
    if event.type in ENDS:
        event_id = f"{job}:end"
    elif event.type in ("accepted", "conflict"):
        event_id = f"{job}:{event.type}:{event.request_id}"
    elif event.type == "progress":
        event_id = f"{job}:{stage}:progress:{event.attempt}:{event.done}"
    elif event.type == "warning":
        event_id = f"{job}:{stage}:warning:{event.code}"
    elif event.type == "waiting":
        event_id = f"{job}:{stage}:waiting:{event.time_ms}"
    elif event.type == "finished":
        event_id = f"{job}:{stage}:finished"
    else:
        event_id = f"{job}:{stage}:{event.type}:{event.attempt}"
    return cloud_event(f"event.{event.type}", event_id, f"/lipstage/{stage or 'audio'}", event.job_id, event.time_ms)


def last(headers: Iterable[tuple[str, bytes | None]], name: str) -> str | None:
    """The last value of a header, names compared in lower case; None when absent or not UTF-8."""
    found: str | None = None
    for key, value in headers:
        if key.lower() == name.lower() and value is not None:
            try:
                found = value.decode()
            except UnicodeDecodeError:
                continue
    return found
