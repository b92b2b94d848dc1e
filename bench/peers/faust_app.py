"""Faust as a worker: one agent with one task at a time an instance, the work in a thread so that heartbeats go on."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import faust

from bench.peers import kafka_loop, work

settings: dict[str, Any] = {"broker_session_timeout": 10, "broker_heartbeat_interval": 1} if work.is_reliable() else {}
app = faust.App(
    kafka_loop.TOPIC,
    broker=f"kafka://{os.environ.get('KAFKA_BOOTSTRAP_SERVERS', '')}",
    datadir=Path(os.environ.get(work.FOLDER, ".")) / f"faust-{os.getpid()}",
    topic_allow_declare=False,
    topic_disable_leader=True,
    stream_wait_empty=False,
    **settings,
)
topic = app.topic(kafka_loop.TOPIC, value_type=bytes, value_serializer="raw")
submit = kafka_loop.submit


async def _render(stream: Any) -> None:
    async for job in stream:
        await asyncio.get_running_loop().run_in_executor(None, work.run, json.loads(job))


async def _assigned(*_: object, **__: object) -> None:
    work.note("assigned")


def _load(*_: object, **__: object) -> None:
    work.load()


app.agent(topic, concurrency=1)(_render)
app.on_worker_init.connect(_load, weak=False)
app.on_partitions_assigned.connect(_assigned, weak=False)
