"""The faust app: one agent that hands events and requests, a few at a time, to a coroutine, and commits them after it.

Faust's rules here (docs/projection.md has the reasons): one agent of concurrency 1 that never raises, no table of
faust's own, no topic that faust makes, no web server, no worker, which would take over signals, logs and stdout.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import faust
from faust.types import TP

from shared.runtime.consume.assignment import Record
from stages.gateway.projection.kafka_client import App

BATCH = 500
"""Most records that are folded at a time."""
WITHIN_S = 0.1
"""How long the first of them waits for more, seconds."""
COMMIT_S = 1.0
SESSION_S = 9.0
"""How long the group waits for a process that was killed, seconds."""
METADATA_MS = 15_000
"""How soon new partitions are read, milliseconds."""

Handle = Callable[[Sequence[Record]], Awaitable[bool]]
"""Returns whether the records are done with; False ends the work without committing them."""


def make_app(group: str, topics: Collection[str], broker: dict[str, Any], folder: Path, handle: Handle) -> faust.App:
    """An app that reads ``topics`` in the consumer group ``group``; make it in the event loop that runs it.

    ``handle`` raises nothing: what is raised is lost. ``broker`` are faust's settings for the connection; ``folder`` is
    a temporary one, of which faust makes folders.
    """
    app = App(
        group,
        **broker,
        datadir=folder,
        # Whatever FAUST_* variables are set.
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        broker_commit_interval=COMMIT_S,
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=SESSION_S / 3,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=METADATA_MS,
        producer_acks=-1,
        producer_metadata_max_age_ms=METADATA_MS,
    )
    source = app.topic(
        *topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", internal=False
    )

    @app.agent(source, concurrency=1, name="projection")
    async def fold(stream: Any) -> None:
        # `take` commits what it has handed out also when it is cancelled.
        async for events in stream.noack_take(BATCH, within=WITHIN_S):
            if not await handle([_record(event.message) for event in events]):
                await asyncio.Event().wait()  # Until the app stops.
            for event in events:
                await stream.ack(event)

    return app


def partitions_of(assigned: Collection[TP]) -> set[tuple[str, int]]:
    """Topic and number of each partition."""
    return {(one.topic, one.partition) for one in assigned}


def _record(message: Any) -> Record:
    headers = message.headers or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return Record(
        message.topic,
        message.partition,
        message.offset,
        message.key,
        message.value,
        tuple((str(name), value) for name, value in pairs),
        round(message.timestamp * 1000),
    )
