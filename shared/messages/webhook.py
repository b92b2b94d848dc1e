"""Values of ``render.webhooks``: one notice for one endpoint. The key is the job id; the headers are as a task's."""

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.messages.delivery_headers import first_attempt
from shared.messages.events import TerminalEvent
from shared.messages.headers import Header, cloud_event
from shared.messages.json_text import json_text
from shared.messages.names import JOB_ID, NAME
from shared.messages.numbers import Integer

ENDPOINT_ID = r"^wh_[0-9a-f]{24}$"
MESSAGE_ID = r"^msg_[0-9a-f]{32}$"
EventType = Literal["done", "rejected", "failed"]
"""Terminal events that a webhook tells of."""


class WebhookNotice(BaseModel):
    """The end of a render that one endpoint is to be told of."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str = Field(pattern=MESSAGE_ID, description="`webhook-id` of the POST: the same at every attempt.")
    endpoint: str = Field(pattern=ENDPOINT_ID)
    tenant: str = Field(pattern=NAME)
    job_id: str = Field(pattern=JOB_ID)
    time_ms: Integer = Field(description="When the render ended, milliseconds since the epoch.")
    event: TerminalEvent = Field(discriminator="type")

    @classmethod
    def of(cls, event: TerminalEvent, endpoint: str) -> "WebhookNotice":
        """The notice of a terminal event. Its id derives from what it is about: a repeated event has the same one, the
        event after a replay, or of another request with the job id, has another."""
        about = (event.tenant, event.job_id, event.request_id, event.type, str(event.replays), endpoint)
        digest = hashlib.sha256("/".join(about).encode()).hexdigest()
        return cls(
            id=f"msg_{digest[:32]}",
            endpoint=endpoint,
            tenant=event.tenant,
            job_id=event.job_id,
            time_ms=event.time_ms,
            event=event,
        )

    @classmethod
    def parse(cls, value: bytes) -> "WebhookNotice":
        """Read the value of a record. Raises ValidationError."""
        return cls.model_validate_json(json_text(value))

    def as_value(self) -> bytes:
        """The value of the record."""
        return self.model_dump_json(exclude_none=True).encode()

    def as_headers(self) -> list[Header]:
        """The headers of the record at its first attempt, without those of its trace."""
        name = f"{self.tenant}/{self.job_id}:webhook:{self.id}"
        event = cloud_event(f"webhook.{self.event.type}", name, "/lipstage/webhooks", self.job_id, self.time_ms)
        return [*event, *first_attempt(0)]
