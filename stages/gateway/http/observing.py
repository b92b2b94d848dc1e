"""``/v1/stages`` and ``/v1/renders/{job_id}/trace``: how the deployment does, and where the time of a render went."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends, Request

from stages.gateway import traces
from stages.gateway.caller import AnyCaller, operator_of
from stages.gateway.http import models
from stages.gateway.http.schema import JobId, answers

router = APIRouter(tags=["observing"])


@router.get(
    "/v1/stages",
    response_model=None,
    dependencies=[Depends(operator_of)],
    responses=answers(200, models.Stages, "The stages."),
)
async def stages(request: Request) -> dict[str, Any]:
    """The stages: records that wait, and running services. The broker is asked each time, which takes a second."""
    groups = await request.app.state.calls(lambda client: client.stage_groups())
    return {"stages": [asdict(group) for group in groups]}


@router.get("/v1/renders/{job_id}/trace", response_model=None, responses=answers(200, models.Trace, "The spans."))
async def trace(job_id: JobId, request: Request, caller: AnyCaller) -> dict[str, Any]:
    """The spans of a render, where traces are kept."""
    key, grafana_url = caller.job(job_id), request.app.state.options.grafana_url
    found: dict[str, Any] = await request.app.state.calls(lambda client: traces.of_render(client, key, grafana_url))
    return found
