"""``/v1/renders``: submit, look up, list, cancel and delete renders."""

import base64
import json
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from shared.client import Client, JobState, Purged, Submission
from stages.gateway.caller import AnyCaller
from stages.gateway.http import models
from stages.gateway.http.inputs import received
from stages.gateway.http.schema import Baggage, IdempotencyKey, JobId, answers, file_form, json_body, reference
from stages.gateway.problems import Problem
from stages.gateway.submitting import spec_of

router = APIRouter(prefix="/v1/renders", tags=["renders"])
MAX_PAGE = 200
FILES = {"portrait": "portrait", "speech": "speech"}
"""Names of the files of a form, by role."""
MAX_SEARCHED = 5000
"""Renders that one call with a search looks at; `next` continues."""


def submitted(submission: Submission) -> dict[str, Any]:
    """What the caller keeps of its submission."""
    return {
        "job_id": submission.job_id,
        "tenant": submission.tenant,
        "trace_id": submission.trace_id or None,
        "is_repeat": submission.is_repeat,
        "links": {"self": f"/v1/renders/{submission.job_id}", "events": f"/v1/renders/{submission.job_id}/events"},
    }


@router.post(
    "",
    status_code=202,
    response_model=None,
    responses=answers(202, models.Submitted, "Kafka has the request.", 200),
    openapi_extra=json_body(reference("RenderRequest"), file_form(FILES)),
)
async def create(
    request: Request,
    caller: AnyCaller,
    idempotency_key: IdempotencyKey = None,
    baggage: Baggage = None,
) -> Response:
    """Submit a render. 202: Kafka has the request; 200: the same request was submitted before."""
    async with received(request, FILES) as given:
        spec = spec_of(caller, given.fields, given.files, idempotency_key, baggage)
        submission = await request.app.state.calls(lambda client: client.submit(spec))
    return answer_of(submission)


def answer_of(submission: Submission) -> Response:
    """The answer to a submission."""
    answer = submitted(submission)
    return JSONResponse(answer, 200 if submission.is_repeat else 202, {"location": answer["links"]["self"]})


@router.get("/{job_id}", response_model=None, responses=answers(200, models.Render, "The render."))
async def get(job_id: JobId, request: Request, caller: AnyCaller) -> dict[str, Any]:
    """The state of a render."""
    key = caller.job(job_id)
    state: JobState = await request.app.state.calls(lambda client: client.job(key))
    return state.as_json()


@router.get("", response_model=None, responses=answers(200, models.Page, "The renders."))
async def listing(
    request: Request,
    caller: AnyCaller,
    status: Annotated[list[models.JobStatus] | None, Query()] = None,
    batch: Annotated[str | None, Query()] = None,
    since_ms: Annotated[int, Query(ge=0, description="Submitted at this time or later.")] = 0,
    until_ms: Annotated[int | None, Query(ge=0, description="Submitted before this time.")] = None,
    search: Annotated[
        str | None, Query(max_length=64, description="Begin of the job id, or part of a label's value.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    after: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> dict[str, Any]:
    """The renders of the caller's tenant, newest first."""
    cursor = _cursor(after)
    if cursor is not None:
        until_ms = min(until_ms, cursor[0] + 1) if until_ms is not None else cursor[0] + 1
    words = search.casefold().strip() if search else ""
    least = MAX_SEARCHED if words else limit

    def page(client: Client) -> tuple[list[JobState], JobState | None]:
        wanted = least + 1
        while True:
            found = client.jobs(limit=wanted, tenant=caller.tenant, batch=batch, statuses=tuple(status or ()),
                                since_ms=since_ms, until_ms=until_ms)  # fmt: skip
            rest = [job for job in found if cursor is None or (job.first_ms, job.job_id) < cursor]
            # Jobs of the cursor's own millisecond come again: ask for more when they fill the page.
            if len(rest) > least or len(found) < wanted:
                break
            wanted *= 2
        matching = [job for job in rest[:least] if _matches(job, words)]
        if len(matching) > limit:
            return matching[:limit], matching[limit - 1]
        return matching, rest[least - 1] if len(rest) > least else None

    jobs, last = await request.app.state.calls(page)
    return {"renders": [job.as_json() for job in jobs], "next": _as_cursor(last) if last is not None else None}


def _matches(job: JobState, words: str) -> bool:
    """Whether the job id begins with the words, or a label's value contains them, in any case."""
    return not words or job.job_id.casefold().startswith(words) or any(
        words in value.casefold() for value in job.labels.values()
    )  # fmt: skip


@router.post(
    "/{job_id}/cancel", response_model=None, responses=answers(200, models.Cancelled, "It ends, or has ended.", 202)
)
async def cancel(job_id: JobId, request: Request, caller: AnyCaller) -> Response:
    """End a render. 200: it has ended; 202: a service ends it, because the object store does not answer."""
    key = caller.job(job_id)
    ended = await request.app.state.calls(lambda client: client.cancel(key))
    if ended is None:
        return JSONResponse({"job_id": job_id, "status": "cancelling"}, 202)
    return JSONResponse({"job_id": job_id, "status": "cancelled"})


@router.delete("/{job_id}", response_model=None, responses=answers(200, models.Purged, "What was deleted."))
async def delete(
    job_id: JobId,
    request: Request,
    caller: AnyCaller,
    force: Annotated[bool, Query(description="Also a render that has not ended: it is cancelled.")] = False,
) -> dict[str, Any]:
    """Delete what is stored of a render, inputs that were uploaded for it included."""
    key = caller.job(job_id)
    purged: Purged = await request.app.state.calls(lambda client: client.purge(key, force=force))
    return purged_json(job_id, purged)


def purged_json(job_id: str, purged: Purged) -> dict[str, Any]:
    """What was deleted of a render."""
    return {"job_id": job_id, "status": "purged", **asdict(purged)}


def _as_cursor(job: JobState) -> str:
    return base64.urlsafe_b64encode(json.dumps([job.first_ms, job.job_id]).encode()).decode().rstrip("=")


def _cursor(text: str | None) -> tuple[int, str] | None:
    """Raises Problem."""
    if text is None:
        return None
    try:
        first_ms, job_id = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, TypeError, RecursionError):
        first_ms = job_id = None
    if not (isinstance(first_ms, int) and isinstance(job_id, str)):
        raise Problem(422, "INVALID_REQUEST", "after is the `next` of another answer", field="after")
    return first_ms, job_id
