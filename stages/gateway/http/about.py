"""What a program or the page asks first: ``/healthz``, ``/v1/me``, ``/v1/session`` and ``/v1/params``."""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from shared import __version__
from shared.messages.engines import ENGINE_PARAMS
from shared.messages.request import Params
from stages.gateway import parameters
from stages.gateway.caller import COOKIE, AnyCaller, Caller, authenticate, caller_of
from stages.gateway.http import models
from stages.gateway.http.bodies import read_model
from stages.gateway.http.origins import LOOPBACK_HOSTS
from stages.gateway.http.schema import answers, json_body

router = APIRouter(tags=["about"])
SESSION_S = 30 * 86_400
"""How long a browser keeps the key, seconds; the key itself may expire or be revoked before."""


OPEN: dict[str, Any] = {"security": []}
"""No key is needed."""


class Login(BaseModel):
    """An API key, for a browser."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: str = Field(max_length=256)


@router.get("/healthz", response_model=None, responses=answers(200, models.Ok, "It answers."), openapi_extra=OPEN)
async def health() -> dict[str, Any]:
    """Whether the gateway answers; needs no key, and asks no other part."""
    return {"ok": True}


@router.get("/v1/me", response_model=None, responses=answers(200, models.Me, "The caller."))
async def me(request: Request, caller: AnyCaller) -> dict[str, Any]:
    """Whom the API key speaks for."""
    return _me(request, caller)


@router.post(
    "/v1/session",
    response_model=None,
    responses=answers(200, models.Me, "The caller; the cookie is set."),
    openapi_extra=json_body(Login.model_json_schema()) | OPEN,
)
async def login(request: Request) -> Response:
    """Keep the key in a cookie that no script can read, for the page, its event streams and its videos."""
    wanted = await read_model(request, Login)
    caller = authenticate(request.app.state.keys, wanted.key)
    request.app.state.rates.take(caller)
    response = JSONResponse(_me(request, caller), 200, {"cache-control": "no-store"})
    if request.app.state.keys is not None:
        response.set_cookie(COOKIE, wanted.key, SESSION_S, path="/", secure=_is_secure(request), httponly=True,
                            samesite="strict")  # fmt: skip
    return response


@router.delete("/v1/session", status_code=204, response_model=None, openapi_extra=OPEN)
async def logout(request: Request) -> Response:
    """Forget the cookie."""
    response = Response(None, 204)
    response.delete_cookie(COOKIE, path="/", secure=_is_secure(request), httponly=True, samesite="strict")
    return response


@router.get(
    "/v1/params",
    response_model=None,
    dependencies=[Depends(caller_of)],
    responses=answers(200, models.Parameters, "What a request may hold."),
)
async def params(request: Request) -> dict[str, Any]:
    """Engines, parameters with ranges, defaults and advice, and limits."""
    state = request.app.state
    settings = state.deployment.runtime
    engines = [name for name in settings.engines if name in ENGINE_PARAMS]
    return {
        "engines": engines,
        "params": parameters.of_model(Params),
        "engine_params": {name: known for name, known in parameters.of_engines().items() if name in engines},
        "limits": {
            "portrait_mb": settings.max_portrait_mb,
            "speech_mb": settings.max_speech_mb,
            "max_batch": state.options.max_batch,
        },
        "output_buckets": list(state.deployment.storage.output_buckets),
    }


def _me(request: Request, caller: Caller) -> dict[str, Any]:
    has_keys = request.app.state.keys is not None
    about = {"tenant": caller.tenant, "role": caller.role, "key_id": caller.key_id}
    return {**about, "version": __version__, "keys": has_keys}


def _is_secure(request: Request) -> bool:
    """Browsers send a secure cookie over HTTPS alone, which a gateway on the loopback does not have."""
    return (request.url.hostname or "") not in LOOPBACK_HOSTS
