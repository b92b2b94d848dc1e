"""Server-sent events: ``/v1/renders/{id}/events`` and ``/v1/batches/{id}/events``."""

import random
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

from stages.gateway.caller import AnyCaller
from stages.gateway.live.live import Live, Stream, is_last

router = APIRouter(prefix="/v1", tags=["events"])
PING_S = 15
"""A comment is sent this often, seconds, so that proxies keep a silent stream open."""
SEND_S = 30.0
"""A client that takes nothing for so long is taken for gone, seconds."""
RETRY_MS = (1000, 4000)
"""Clients come back after a random time of this range, milliseconds: not all at once when a gateway restarts."""
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Messages: `id` (opaque), `event` (`state`, or the type of the event), `data` (JSON: the state"
        " after it, and the event). The stream ends after the last message of the job.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "`Last-Event-ID` is that of a last message: nothing follows."},
}
LastEventId = Annotated[
    str | None,
    Header(max_length=200, description="`id` of the last message that the client has: what follows is sent."),
]


class EventStream(EventSourceResponse):
    """The messages of a stream, which is closed with the connection."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(_encoded(stream), ping=PING_S, ping_message_factory=_ping, send_timeout=SEND_S, sep="\n")
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the stream ends or the client leaves."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.close()


async def _encoded(stream: Stream) -> AsyncIterator[ServerSentEvent]:
    retry: int | None = random.randint(*RETRY_MS)
    async for message in stream.messages():
        yield ServerSentEvent(message.text, event=message.type, id=message.position, retry=retry)
        retry = None
    stream.close()  # Before the answer ends: whoever sees its end may ask for another stream at once.


def _ping() -> ServerSentEvent:
    return ServerSentEvent(comment="ping")


@router.get("/renders/{job_id}/events", response_class=Response, responses=RESPONSES)
async def job_events(job_id: str, request: Request, caller: AnyCaller, last_event_id: LastEventId = None) -> Response:
    """The state of a render, and every change of it as it happens, until it ends."""
    caller.job(job_id)
    if is_last(last_event_id):
        return Response(status_code=204)
    live: Live = request.app.state.live
    return EventStream(await live.job(caller, job_id, last_event_id))


@router.get("/batches/{batch_id}/events", response_class=Response, responses=RESPONSES)
async def batch_events(
    batch_id: str, request: Request, caller: AnyCaller, last_event_id: LastEventId = None
) -> Response:
    """The state of a batch, and every change of one of its renders, until all have ended."""
    if is_last(last_event_id):
        return Response(status_code=204)
    live: Live = request.app.state.live
    return EventStream(await live.batch(caller, batch_id, last_event_id))
