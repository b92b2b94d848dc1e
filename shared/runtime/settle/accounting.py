"""What the audit of renders needs in the first and in the last event of a job: when, for which department, for whom."""

from typing import Any

from shared.messages.request import RenderRequest
from shared.runtime.disposition import JobContext
from shared.telemetry.pseudonyms import pseudonym


def accounted(job: JobContext) -> dict[str, Any]:
    """The fields of an `accepted` or terminal event; empty for a job whose record could not be read."""
    if job.render is None:
        return {}
    request = job.render.request
    return {
        "submitted_ms": job.render.submitted_ms,
        "department": request.department,
        "owner_hash": owner_hash(request),
        "consent": request.consent,
    }


def owner_hash(request: RenderRequest) -> str | None:
    """The owner that the request names as a pseudonym: events never hold the name."""
    return pseudonym(request.owner) if request.owner else None
