"""Events as a test needs them."""

from typing import Any

from shared.messages.events import EVENT, AnyEvent


def event(kind: str, job: str = "j", time_ms: int = 1000, **fields: Any) -> AnyEvent:
    base = {"type": kind, "job_id": job, "tenant": "default", "request_id": "r", "time_ms": time_ms}
    return EVENT.validate_python(base | fields)


def waiting(**fields: Any) -> AnyEvent:
    return event("waiting", stage="face", code="NO_SPACE", message="1 MiB is free", **fields)
