"""The body of a webhook: the type, the time, and the state of the render as its terminal event tells it."""

import json
from datetime import UTC, datetime
from typing import Any

from shared.client import job_fold
from shared.messages.events import TerminalEvent
from shared.messages.webhook import WebhookNotice

TEST_TYPE = "webhook.test"
FIELDS = (
    *("job_id", "tenant", "status", "engine", "trace_id", "batch", "labels", "department", "submitted_ms", "last_ms"),
    *("replays", "warnings", "terminal_event"),
)
"""Members of the state that a terminal event alone tells. The answer of ``GET /v1/renders/{job_id}`` has more."""


def state_of(event: TerminalEvent) -> dict[str, Any]:
    """The state of the render, by the names of ``GET /v1/renders/{job_id}``."""
    state = job_fold.apply(None, event).as_json()
    return {name: state[name] for name in FIELDS}


def body_of(notice: WebhookNotice) -> str:
    """The body for the end of a render; the same at every attempt."""
    return _encoded(f"render.{notice.event.type}", notice.time_ms, state_of(notice.event))


def body_of_test(endpoint: str, tenant: str, at: datetime) -> str:
    """The body of a test message."""
    return _encoded(TEST_TYPE, int(at.timestamp() * 1000), {"endpoint": endpoint, "tenant": tenant})


def _encoded(kind: str, time_ms: int, data: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"type": kind, "timestamp": at, "data": data}, ensure_ascii=False, separators=(",", ":"))
