"""``POST /generate``: the shape in which the product's origin was asked, for programs that speak it."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import JsonValue

from shared.client import ClientError
from shared.messages.request import RenderRequest
from stages.gateway import problems
from stages.gateway.caller import AnyCaller
from stages.gateway.http.inputs import received
from stages.gateway.http.models import Submitted
from stages.gateway.http.renders import answer_of
from stages.gateway.http.schema import REFS, Baggage, IdempotencyKey, answers, file_form, json_body, reference
from stages.gateway.problems import Problem
from stages.gateway.submitting import spec_of

router = APIRouter(tags=["renders"])
PORTRAIT, PROMPT, SPEECH = "portrait_image", "prompt", "audio_clip"
FILES = {"portrait": PORTRAIT, "speech": f"{PROMPT}.{SPEECH}"}
PARAMS = ("duration", "expand_ratio", "inference_steps", "dynamic_scale", "min_resolution")
"""Parameters that stand at the top level."""
OURS = {"portrait": PORTRAIT, "speech": f"{PROMPT}.{SPEECH}", **{f"params.{name}": name for name in PARAMS}}
"""Fields of our request, and what they are called here."""


def _schema() -> dict[str, Any]:
    ours = RenderRequest.model_json_schema(ref_template=REFS)
    params, kept = ours["$defs"]["Params"]["properties"], dict(ours["properties"])
    for name in ("portrait", "speech", "params"):
        del kept[name]
    media = {"anyOf": [reference("InputRef"), {"type": "string", "description": "The key alone."}]}
    prompt = {"type": "object", "properties": {SPEECH: media}, "required": [SPEECH], "additionalProperties": False}
    fields = {PORTRAIT: media, PROMPT: prompt, **{name: params[name] for name in PARAMS}, **kept}
    return {"type": "object", "properties": fields, "required": [PORTRAIT, PROMPT], "additionalProperties": False}


@router.post(
    "/generate",
    status_code=202,
    response_model=None,
    responses=answers(202, Submitted, "Kafka has the request.", 200),
    openapi_extra=json_body(_schema(), file_form(FILES)),
)
async def generate(
    request: Request,
    caller: AnyCaller,
    idempotency_key: IdempotencyKey = None,
    baggage: Baggage = None,
) -> Response:
    """Submit a render in the form of the product's origin; other fields are those of `/v1/renders`."""
    async with received(request, FILES, PARAMS) as given:
        try:
            spec = spec_of(caller, as_ours(given.fields), given.files, idempotency_key, baggage)
        except (ClientError, Problem) as e:
            raise _renamed(e if isinstance(e, Problem) else problems.of_error(e)) from None
        submission = await request.app.state.calls(lambda client: client.submit(spec))
    return answer_of(submission)


def as_ours(body: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The request as `/v1/renders` takes it. Raises Problem."""
    fields = dict(body)
    for name in ("params", "portrait", "speech"):
        if name in fields:
            raise Problem(422, "INVALID_REQUEST", f"{name} is no field here",
                          field=name, allowed=", ".join([PORTRAIT, PROMPT, *PARAMS]))  # fmt: skip
    prompt = fields.pop(PROMPT, None)
    if prompt is not None and not isinstance(prompt, dict):
        raise Problem(422, "INVALID_REQUEST", f"{PROMPT} is not an object", field=PROMPT,
                      allowed=f"an object with {SPEECH}")  # fmt: skip
    inside = dict(prompt or {})
    media = {"portrait": fields.pop(PORTRAIT, None), "speech": inside.pop(SPEECH, None)}
    if inside:
        other = f"{PROMPT}.{next(iter(inside))}"
        raise Problem(422, "INVALID_REQUEST", f"there is no field {other[:80]!r}", field=other[:80],
                      allowed=f"{PROMPT}.{SPEECH}")  # fmt: skip
    fields |= {role: {"key": ref} if isinstance(ref, str) else ref for role, ref in media.items() if ref is not None}
    params = {name: fields.pop(name) for name in PARAMS if name in fields}
    return {**fields, "params": params} if params else fields


def _renamed(problem: Problem) -> Problem:
    """The problem with the names that the caller knows."""
    field = problem.field or ""
    role, dot, member = field.partition(".")
    ours = field if field in OURS else role
    if ours in OURS:
        problem.field = OURS[ours] + (f".{member}" if ours == role and dot else "")
        problem.message = problem.message.replace(field, problem.field)
    return problem
