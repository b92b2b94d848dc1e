"""Where states of jobs come from: the projection, or without it slower from bounded scans of the events."""

import asyncio
from collections.abc import MutableMapping

from shared.client.projection import Projection, ProjectionUnavailable

NAME = "job_state"
"""Under this name ``/readyz`` says it."""
PROJECTION = "from the projection"
SCANS = "slower, from bounded scans of the events"
CHECK_S = 5.0
"""How often the projection is asked, seconds."""


async def report(url: str, details: MutableMapping[str, str]) -> None:
    """Keep ``details`` up to date until cancelled; ``url`` is LIPSTAGE_PROJECTION_URL, empty without a projection."""
    if not url:
        details[NAME] = f"{SCANS}: LIPSTAGE_PROJECTION_URL is not set"
        return
    projection = Projection(url)
    while True:
        details[NAME] = await asyncio.to_thread(_source, projection)
        await asyncio.sleep(CHECK_S)


def _source(projection: Projection) -> str:
    try:
        position = projection.get("/v1/position") or {}
    except ProjectionUnavailable as e:
        return f"{SCANS}: {e}"
    reason = position.get("not_ready")
    return PROJECTION if reason is None else f"{SCANS}: the projection is not ready ({reason})"
