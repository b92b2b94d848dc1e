"""Jobs of which nothing is heard for longer than their stage may take."""

from collections.abc import Iterable
from functools import cache
from heapq import nsmallest
from importlib import import_module
from typing import Any

from shared.messages.engines import ENGINES
from shared.messages.pipeline import PIPELINE
from shared.slot.engines import engine_spec
from stages.gateway.projection.job_table import Row

GRACE_S = 60.0
"""After a stage's limit its service ends the attempt and says so; this long may that take, seconds."""


@cache
def stage_limit_s(stage: str, engine: str) -> float | None:
    """How long an attempt of the stage may take, seconds; None for a stage or an engine that this version does not
    know."""
    step = next((step for step in PIPELINE if step.name == stage), None)
    if step is None:
        return None
    if step.per_engine:
        return engine_spec(engine).deadline_s if engine in ENGINES else None
    return float(import_module(step.module).STAGE.deadline_s)


def limit_s(row: Row, queue_limit_s: float) -> float:
    """How long the job may be silent, seconds: in a stage the stage's limit, between stages ``queue_limit_s``."""
    limit = stage_limit_s(row.stage, row.engine) if row.stage else None
    return queue_limit_s if limit is None else limit + GRACE_S


def stuck(rows: Iterable[Row], now_ms: int, queue_limit_s: float, count: int) -> list[dict[str, Any]]:
    """At most ``count`` jobs that are silent for too long, those first that are so for the longest time.

    A job that waits for a retry counts from when the retry is due.
    """
    found = []
    for row in rows:
        # A job that is known from refused requests alone has no time.
        if row.outcome or row.status == "purged" or not row.first_ms:
            continue
        since_ms, allowed_s = max(row.last_ms, row.due_ms), limit_s(row, queue_limit_s)
        if now_ms - since_ms > allowed_s * 1000:
            found.append((since_ms, row, allowed_s))
    return [
        {
            "job_id": row.key.job_id,
            "tenant": row.key.tenant,
            "status": row.status,
            "engine": row.engine or None,
            "stage": row.stage or None,
            "last_ms": row.last_ms,
            "silent_s": (now_ms - since_ms) / 1000,
            "limit_s": allowed_s,
        }
        for since_ms, row, allowed_s in nsmallest(count, found, key=lambda one: (one[0], one[1].key))
    ]
