"""The answers about endpoints of webhooks as models, for the OpenAPI document."""

from typing import Literal

from pydantic import BaseModel, Field

from stages.gateway.http.models import EPOCH


class DisabledWebhook(BaseModel):
    """Why nothing is sent to an endpoint any more."""

    reason: str
    since_ms: int = Field(description=EPOCH)


class Webhook(BaseModel):
    """An endpoint that is told of ended renders."""

    id: str
    url: str
    events: list[Literal["done", "rejected", "failed"]]
    description: str
    created_ms: int = Field(description=EPOCH)
    disabled: DisabledWebhook | None = Field(description="null while messages are sent.")


class NewWebhook(Webhook):
    """An endpoint that was registered."""

    secret: str = Field(description="What its messages are signed with: `whsec_` and base64.")


class Webhooks(BaseModel):
    """The endpoints of a tenant."""

    webhooks: list[Webhook]


class WebhookTest(BaseModel):
    """What came back for a test message."""

    delivered: bool = Field(description="The endpoint answered with a status of 200 to 299.")
    status: int | None = Field(description="Status of the answer; null without one.")
    error: str | None = Field(description="Why there is no answer.")
