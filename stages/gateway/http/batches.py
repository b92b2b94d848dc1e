"""``/v1/batches``: many renders under one id; the same calls as for one."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from shared.client import BatchState, Client
from shared.client.job_spec import new_job_id
from shared.messages.names import JOB_ID
from stages.gateway.batches import BatchRequest, problem_json, row
from stages.gateway.caller import AnyCaller
from stages.gateway.calls import Calls
from stages.gateway.http import models
from stages.gateway.http.bodies import read_model
from stages.gateway.http.renders import purged_json
from stages.gateway.http.schema import Baggage, BatchId, answers, json_body, reference
from stages.gateway.problems import Problem

router = APIRouter(prefix="/v1/batches", tags=["batches"])
MAX_BYTES = 16 << 20
AT_A_TIME = 4
"""Renders of one batch that are submitted at a time; each waits for the object store and the broker."""


class NewBatch(BaseModel):
    """Renders that are submitted together."""

    model_config = ConfigDict(extra="forbid", strict=True)

    batch_id: str | None = Field(
        None, pattern=JOB_ID, description="With one of yours the same batch can be sent again: nothing is sent twice."
    )
    renders: list[JsonValue] = Field(min_length=1, description="Requests as for `/v1/renders`.")


def _schema() -> dict[str, Any]:
    made = NewBatch.model_json_schema()
    made["properties"]["renders"]["items"] = reference("RenderRequest")
    return made


@router.post(
    "",
    status_code=202,
    response_model=None,
    responses=answers(202, models.SubmittedBatch, "Kafka has every request that has a `job_id` here."),
    openapi_extra=json_body(_schema()),
)
async def create(request: Request, caller: AnyCaller, baggage: Baggage = None) -> Response:
    """Submit a batch. Renders that can't be submitted have a `problem` each; the others are submitted."""
    wanted = await read_model(request, NewBatch, MAX_BYTES)
    most = request.app.state.options.max_batch
    if len(wanted.renders) > most:
        raise Problem(422, "INVALID_REQUEST", f"a batch has at most {most} renders", field="renders",
                      allowed=f"1 to {most} renders")  # fmt: skip
    batch = BatchRequest(caller, wanted.batch_id or new_job_id(), wanted.renders, baggage)
    calls: Calls = request.app.state.calls

    async def part(start: int) -> list[Any]:
        return await calls(lambda client: batch.submitted(client, start, AT_A_TIME))

    parts = await asyncio.gather(*(part(start) for start in range(AT_A_TIME)))
    done = sorted((one for found in parts for one in found), key=lambda pair: pair[0])
    rows = [row(index, result, request.state.request_id) for index, result in done]
    return JSONResponse(
        {"batch_id": batch.batch_id, "renders": rows}, 202, {"location": f"/v1/batches/{batch.batch_id}"}
    )


@router.get("/{batch_id}", response_model=None, responses=answers(200, models.BatchState, "The batch and its renders."))
async def get(batch_id: BatchId, request: Request, caller: AnyCaller) -> dict[str, Any]:
    """The renders of a batch, in its order."""
    state: BatchState = await request.app.state.calls(lambda client: client.batch_state(batch_id, tenant=caller.tenant))
    known = state.as_json()
    batch = {"batch_id": known.pop("batch"), **known, "has_ended": state.has_ended}
    return {**batch, "renders": [job.as_json() for job in state.ordered()]}


@router.post(
    "/{batch_id}/cancel", response_model=None, responses=answers(200, models.CancelledBatch, "What was cancelled.")
)
async def cancel(batch_id: BatchId, request: Request, caller: AnyCaller) -> dict[str, Any]:
    """Cancel the renders of a batch that have not ended."""

    def work(client: Client) -> list[str]:
        return [job.job_id for job in client.cancel_batch(client.batch_state(batch_id, tenant=caller.tenant))]

    return {"batch_id": batch_id, "cancelled": await request.app.state.calls(work)}


@router.delete("/{batch_id}", response_model=None, responses=answers(200, models.PurgedBatch, "What was deleted."))
async def delete(
    batch_id: BatchId,
    request: Request,
    caller: AnyCaller,
    force: Annotated[bool, Query(description="Also renders that have not ended: they are cancelled.")] = False,
) -> dict[str, Any]:
    """Delete what is stored of the renders of a batch."""

    def work(client: Client) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for one in client.purge_batch(client.batch_state(batch_id, tenant=caller.tenant), force=force):
            if one.error is not None:
                problem = problem_json(one.error, request.state.request_id)
                rows.append({"job_id": one.job.job_id, "problem": problem})
            elif one.purged is not None:
                rows.append(purged_json(one.job.job_id, one.purged))
        return rows

    return {"batch_id": batch_id, "renders": await request.app.state.calls(work)}
