"""What decides when a delivered record starts: its tenant, its due time and its cost. Read in the consumer loop's
thread, before anything is known to be valid: whatever a record holds, this never raises."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import from_json

from shared.messages.names import DEFAULT_TENANT
from shared.messages.task import MAX_ENVELOPE_BYTES
from shared.runtime.consume.assignment import Record

UNDATED_MS = 3_600_000
"""A record without a deadline is due this long after its request, milliseconds. It lets records with a nearer deadline
pass, but not for ever."""
LONGEST_DEADLINE_S = 604_800
COSTS_S = (1.0, 600.0)
"""Lowest and highest cost of a record, seconds of speech. Every request costs the lowest: its speech is not known."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one record asks of a stage."""

    tenant: str = DEFAULT_TENANT
    due_ms: int = 0
    """Milliseconds since the epoch; of one tenant's records the earliest starts first."""
    cost: float = COSTS_S[0]
    """What its start takes from the tenant's share, seconds of speech."""


def share_of(record: Record, served: Callable[[Record], str | None] | None = None) -> Share:
    """The share of a request or a task; a record that can't be read is one of the default tenant.

    ``served`` returns the tenant for which the record's sender may speak; None: that of the body, which is believed.
    Without it a sender could use the turns of a tenant that it only names.
    """
    tenant = served(record) if served is not None else None
    share = _share_of_body(record)
    return share if tenant is None else replace(share, tenant=tenant)


def _share_of_body(record: Record) -> Share:
    body: Any = None
    if record.value and len(record.value) <= MAX_ENVELOPE_BYTES:
        try:
            body = from_json(record.value)
        except ValueError:
            body = None
    if not isinstance(body, dict):
        return Share(due_ms=record.timestamp_ms + UNDATED_MS)
    request = body.get("request", body)
    request = request if isinstance(request, dict) else {}
    tenant, submitted_ms = request.get("tenant"), body.get("submitted_ms")
    since_ms = submitted_ms if type(submitted_ms) is int else record.timestamp_ms
    deadline_s = _number(request.get("deadline_s"))
    wait_ms = UNDATED_MS if deadline_s is None else int(min(max(deadline_s, 0.0), LONGEST_DEADLINE_S) * 1000)
    return Share(tenant if isinstance(tenant, str) else DEFAULT_TENANT, since_ms + wait_ms, _cost(body))


def _cost(body: dict[str, Any]) -> float:
    """The seconds of speech that the audio stage has found."""
    found: Any = body
    for name in ("outputs", "audio", "metadata", "duration_s"):
        found = found.get(name) if isinstance(found, dict) else None
    return min(max(_number(found) or 0.0, COSTS_S[0]), COSTS_S[1])


def _number(value: object) -> float | None:
    return float(value) if type(value) in (int, float) and abs(value) <= 1e15 and math.isfinite(value) else None  # type: ignore[arg-type]
