"""``/v1/check``: what a render would say of a portrait and a speech, at once and without a job."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError

from shared.messages.codes import Code
from shared.messages.request import Params
from shared.messages.validation.errors import explain
from stages.gateway.caller import AnyCaller
from stages.gateway.check.checker import CheckUnavailable, TooManyChecks
from stages.gateway.check.checks import STAGE_OF
from stages.gateway.http.check_models import Checked
from stages.gateway.http.inputs import received
from stages.gateway.http.multipart import MULTIPART
from stages.gateway.http.schema import file_form
from stages.gateway.problems import Problem

router = APIRouter(prefix="/v1/check", tags=["renders"])
RETRY_S = 2
BODY = {"requestBody": {"required": True, "content": {MULTIPART: {"schema": file_form({r: r for r in STAGE_OF})}}}}


@router.post("", openapi_extra=BODY)
async def check(request: Request, caller: AnyCaller) -> Checked:
    """Check a portrait, a speech, or both: faces, size, duration, warnings, and what a render would be refused for.

    The body is a form with the parts ``portrait`` and ``speech``; ``request`` may hold ``params``. Files are opened by
    the stages' own confined worker processes and deleted. 501: the stages are not installed beside this gateway.
    """
    async with received(request, {role: role for role in STAGE_OF}) as sent:
        if not sent.files:
            raise Problem(422, str(Code.INVALID_REQUEST), "send a portrait or a speech as a part of a form",
                          field="portrait")  # fmt: skip
        params = _params(sent.fields.get("params", {}))
        found = await asyncio.gather(
            *(_of(request, role, caller.tenant, path, params) for role, path in sent.files.items())
        )
    answer: dict[str, Any] = dict(zip(sent.files, found, strict=True))
    return Checked.model_validate(answer | {"warnings": [one for part in found for one in part.pop("warnings")]})


async def _of(request: Request, role: str, tenant: str, path: Any, params: Params) -> dict[str, Any]:
    """Raises Problem."""
    try:
        found: dict[str, Any] = await asyncio.to_thread(request.app.state.checks.check, role, tenant, path, params)
        return found
    except TooManyChecks as e:
        raise Problem(503, "TOO_MANY_CHECKS", str(e), retry_s=RETRY_S) from None
    except CheckUnavailable as e:
        raise Problem(501, "CHECK_UNAVAILABLE", str(e), hint="submit the render: it reports the same") from None


def _params(value: object) -> Params:
    """Raises Problem, which names the field."""
    try:
        return Params.model_validate(value)
    except ValidationError as e:
        problem = explain(e, Params, "params")
        raise Problem(422, str(Code.INVALID_REQUEST), problem.message, field=problem.field, allowed=problem.allowed) \
            from None  # fmt: skip
