"""``/v1/webhooks``: the endpoints of a tenant, which are told of the ends of its renders."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.client import Client
from shared.client.errors import StoreUnreachable
from shared.messages.webhook import ENDPOINT_ID, EventType
from shared.storage.errors import StorageError, StoreUnavailable
from stages.gateway.caller import AnyCaller
from stages.gateway.http import webhook_models
from stages.gateway.http.bodies import read_model
from stages.gateway.http.schema import answers, json_body
from stages.gateway.problems import Problem
from stages.gateway.webhooks.addresses import MAX_URL, UrlRefused
from stages.gateway.webhooks.desk import WebhookDesk
from stages.gateway.webhooks.endpoints import ALL_EVENTS, Description, Endpoint, Endpoints, TooManyEndpoints
from stages.gateway.webhooks.testing import TooManyTests

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])
RETRY_S = 5.0
Result = TypeVar("Result")
EndpointId = Annotated[str, Path(json_schema_extra={"pattern": ENDPOINT_ID})]


class WantedWebhook(BaseModel):
    """An endpoint that is to be told of ended renders."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL)] = Field(
        description="https:// and a host of the public internet."
    )
    events: tuple[EventType, ...] = Field(ALL_EVENTS, min_length=1, max_length=3, description="Default: all.")
    description: Description = ""


@router.post(
    "",
    status_code=201,
    response_model=None,
    responses=answers(201, webhook_models.NewWebhook, "The endpoint, and its secret: no other answer shows it."),
    openapi_extra=json_body(WantedWebhook.model_json_schema()),
)
async def create(request: Request, caller: AnyCaller) -> dict[str, Any]:
    """Register an endpoint: renders of your tenant that end from now on are told to it."""
    desk = _desk(request)
    wanted = await read_model(request, WantedWebhook)
    await asyncio.to_thread(_check_url, desk, wanted.url)
    endpoint = Endpoint.new(wanted.url, tuple(dict.fromkeys(wanted.events)), wanted.description)

    def register(endpoints: Endpoints) -> None:
        try:
            endpoints.add(caller.tenant, endpoint, desk.max_endpoints)
        except TooManyEndpoints:
            most = f"at most {desk.max_endpoints}"
            raise Problem(409, "TOO_MANY_WEBHOOKS", "your tenant has no place for another endpoint", allowed=most,
                          hint="delete one that is not needed") from None  # fmt: skip

    await _stored(request, register)
    return {**_as_json(endpoint), "secret": desk.signer.secret(caller.tenant, endpoint.id)}


@router.get(
    "", response_model=None, responses=answers(200, webhook_models.Webhooks, "The endpoints, the oldest first.")
)
async def listing(request: Request, caller: AnyCaller) -> dict[str, Any]:
    """The endpoints of your tenant."""
    _desk(request)
    found = await _stored(request, lambda endpoints: endpoints.of(caller.tenant))
    return {"webhooks": [_as_json(one) for one in found]}


@router.get("/{webhook_id}", response_model=None, responses=answers(200, webhook_models.Webhook, "The endpoint."))
async def show(webhook_id: EndpointId, request: Request, caller: AnyCaller) -> dict[str, Any]:
    """One endpoint."""
    _desk(request)
    return _as_json(await _found(request, caller.tenant, webhook_id))


@router.delete("/{webhook_id}", status_code=204, response_model=None, responses={204: {"description": "Deleted."}})
async def delete(webhook_id: EndpointId, request: Request, caller: AnyCaller) -> Response:
    """Delete an endpoint: nothing more is sent to it, what waits for another attempt included."""
    _desk(request)
    if not await _stored(request, lambda endpoints: endpoints.remove(caller.tenant, webhook_id)):
        raise _unknown()
    return Response(status_code=204, headers={"cache-control": "no-store"})


@router.post(
    "/{webhook_id}/test",
    response_model=None,
    responses=answers(200, webhook_models.WebhookTest, "What came back."),
)
async def test(webhook_id: EndpointId, request: Request, caller: AnyCaller) -> dict[str, Any]:
    """Send one signed message of the type `webhook.test` to an endpoint, now and once."""
    desk = _desk(request)
    endpoint = await _found(request, caller.tenant, webhook_id)
    try:
        answer = await asyncio.to_thread(desk.tests.send, caller.tenant, endpoint)
    except TooManyTests:
        raise Problem(503, "TOO_MANY_WEBHOOK_TESTS", "other endpoints are being tested", retry_s=RETRY_S) from None
    return {"delivered": answer.is_accepted, "status": answer.status, "error": answer.error or None}


def _desk(request: Request) -> WebhookDesk:
    desk: WebhookDesk | None = request.app.state.webhooks
    if desk is None:
        raise Problem(501, "WEBHOOKS_UNAVAILABLE", "this deployment has no key to sign webhooks with",
                      hint="an operator sets LIPSTAGE_WEBHOOK_KEY")  # fmt: skip
    return desk


def _check_url(desk: WebhookDesk, url: str) -> None:
    """Raises Problem for a URL that is no endpoint for this deployment."""
    try:
        desk.policy.resolve(desk.policy.read(url))
    except UrlRefused as e:
        raise Problem(422, "WEBHOOK_URL_REFUSED", e.message, field="url", allowed=e.allowed) from None
    except (OSError, UnicodeError):
        raise Problem(422, "WEBHOOK_URL_REFUSED", "the host of the URL can't be resolved", field="url") from None


async def _found(request: Request, tenant: str, webhook_id: str) -> Endpoint:
    endpoint = await _stored(request, lambda endpoints: endpoints.find(tenant, webhook_id))
    if endpoint is None:
        raise _unknown()
    return endpoint


def _unknown() -> Problem:
    return Problem(404, "WEBHOOK_NOT_FOUND", "your tenant has no such endpoint")


async def _stored(request: Request, work: Callable[[Endpoints], Result]) -> Result:
    """The result of work with the stored endpoints. Raises StoreUnreachable, Problem."""

    def call(client: Client) -> Result:
        try:
            return work(Endpoints(client.connection.documents))
        except StoreUnavailable as e:
            raise StoreUnreachable(str(e)) from None
        except StorageError as e:
            raise Problem(500, "WEBHOOKS_UNREADABLE", f"the endpoints of your tenant can't be used: {e}") from None

    result: Result = await request.app.state.calls(call)
    return result


def _as_json(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "description": endpoint.description,
        "created_ms": endpoint.created_ms,
        "disabled": endpoint.disabled.model_dump() if endpoint.disabled is not None else None,
    }
