"""The HTTP application: its routes, and what they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from opentelemetry.trace import Tracer
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Match

from shared import __version__
from shared.client import Deployment
from shared.client.errors import ClientError
from shared.messages.codes import Rejected
from stages.gateway import problems
from stages.gateway.caller import Keys
from stages.gateway.calls import Calls
from stages.gateway.check.checks import Checks
from stages.gateway.http import (
    about,
    batches,
    check,
    dead_letters,
    events,
    generate,
    observing,
    page,
    renders,
    results,
    schema,
    uploads,
    webhooks,
)
from stages.gateway.http.context import RequestContext, problem_of
from stages.gateway.http.origins import Origins
from stages.gateway.live.live import Live
from stages.gateway.presigned import Presigned
from stages.gateway.problems import Problem
from stages.gateway.rates import Rates
from stages.gateway.settings import GatewaySettings
from stages.gateway.uploads import UploadFolders
from stages.gateway.webhooks.desk import WebhookDesk

ABOUT = "One portrait and one speech recording become a talking-head mp4."
ROUTERS: Sequence[APIRouter] = (
    page.router,
    about.router,
    check.router,
    renders.router,
    events.router,
    results.router,
    generate.router,
    uploads.router,
    batches.router,
    webhooks.router,
    dead_letters.router,
    observing.router,
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with, as ``request.app.state``."""

    options: GatewaySettings
    deployment: Deployment
    calls: Calls
    uploads: UploadFolders
    checks: Checks
    presigned: Presigned
    keys: Keys | None
    rates: Rates
    tracer: Tracer
    live: Live
    webhooks: WebhookDesk | None = None
    """None: the deployment has no key for webhooks."""


def make_app(parts: Parts) -> FastAPI:
    """The application."""
    app = _with_routes()
    for name in Parts.__slots__:
        setattr(app.state, name, getattr(parts, name))
    for kind in (Problem, ClientError, Rejected):
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    origins = Origins(loopback_only=parts.keys is None, allowed=parts.options.cors_origins)
    if parts.options.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(parts.options.cors_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["authorization", "content-type", "idempotency-key", "last-event-id", "traceparent",
                           "tracestate", "baggage"],
            expose_headers=["x-request-id", "retry-after", "location"],
        )  # fmt: skip
    app.add_middleware(RequestContext, tracer=parts.tracer, origins=origins)
    return app


def _with_routes() -> FastAPI:
    app = FastAPI(title="lipstage", version=__version__, description=ABOUT, docs_url=None, redoc_url=None,
                  openapi_url="/openapi.json", redirect_slashes=False)  # fmt: skip
    for router in ROUTERS:
        app.include_router(router)
    app.openapi = partial(schema.document, app)  # type: ignore[method-assign]
    return app


def make_document() -> dict[str, Any]:
    """The OpenAPI document."""
    return schema.document(_with_routes())


def _respond(problem: Problem, request: Request) -> JSONResponse:
    body = problem.as_json(request.state.request_id)
    return JSONResponse(body, problem.status, problem.as_headers(), problems.MEDIA_TYPE)


async def _answer(request: Request, error: Exception) -> JSONResponse:
    return _respond(problem_of(error), request)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """A parameter of the path or the query that FastAPI refuses."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return _respond(Problem(422, "INVALID_REQUEST", f"{field}: {first['msg']}", field=field), request)


async def _http(request: Request, error: Exception) -> JSONResponse:
    """What the router says: no such path, another method."""
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).name
    response = _respond(Problem(error.status_code, code, str(error.detail)), request)
    response.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # The router knows the methods of one route alone; a path may have several.
        routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
        fitting = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
        methods = {method for route in fitting for method in route.methods or ()}
        if methods:
            response.headers["allow"] = ", ".join(sorted(methods))
    return response
