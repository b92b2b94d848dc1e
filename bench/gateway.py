"""The gateway under load: 2000 submits beside 200 watchers of event streams, against the client library in a loop.

    .venv/bin/python -m bench.gateway [--watchers 200] [--submits 2000] [--at-a-time 16] [--crowd 0] [--json FILE]

Starts its own broker and object store, and a gateway in a process of its own; no stage runs, so that the figures are
the gateway's. Submits are JSON with references. Every watcher follows a job of its own, whose events this program
publishes while the submits run; after them it ends the jobs. Every request is then counted on the topic, and every
watcher must have got the end of its job. `--crowd 10000` then opens so many connections that each ask for an event
stream: more than the gateway takes.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from bench.crowd import crowd
from bench.projection import resident_mb, send
from bench.record import emit
from bench.sessions import cpu_s
from bench.stack_of import OTHERS
from shared.client import Client, Deployment, JobSpec, topic_log
from shared.local import ports, stack
from shared.local.settings import LocalSettings
from shared.messages.events import EVENT
from shared.messages.refs import InputRef
from shared.messages.topics import EVENTS, REQUEST_TOPICS
from shared.runtime import admin_process
from shared.runtime.settings import RuntimeSettings
from shared.storage.bucket import ensure
from shared.storage.client import S3Access

PREFIX = "b."
START_S = 60.0
END_S = 120.0
"""The ends of all jobs reach their watchers within this time, or the watcher counts as one without an end."""
BODY = {"portrait": {"key": "default/bench/p.png"}, "speech": {"key": "default/bench/s.wav"}}
PROGRESS = 10
"""Progress events of each watched job, beside accepted, started and the end."""
CROWD_SUBMITS = 100
"""Submits beside the crowd."""


@dataclass
class Watched:
    """A watched job: when its end was published, and when its watcher got it."""

    job_id: str
    types: list[str] = field(default_factory=list)
    published: float = 0.0
    received: float = 0.0


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds at the 50th, 95th and 99th percentile."""
    ordered = sorted(seconds)
    return {f"p{n}": round(ordered[min(len(ordered) - 1, len(ordered) * n // 100)] * 1000, 1) for n in (50, 95, 99)}


def rate(taken: Sequence[float], wall_s: float) -> dict[str, Any]:
    return {"per_s": round(len(taken) / wall_s, 1), "ms": quantiles(taken)}


def library_loop(client: Client, count: int) -> tuple[dict[str, Any], list[str]]:
    """Submits by the client library, one after the other: its figures, and the jobs."""
    portrait, speech = (InputRef.model_validate(BODY[role]) for role in ("portrait", "speech"))
    taken, jobs = [], []
    begun = time.monotonic()
    for _ in range(count):
        started = time.monotonic()
        jobs.append(client.submit(JobSpec.of_fields(portrait, speech, {})).job_id)
        taken.append(time.monotonic() - started)
    return rate(taken, time.monotonic() - begun), jobs


async def submit(session: aiohttp.ClientSession, job_id: str, taken: list[float]) -> None:
    """One submit. Raises SystemExit when it is refused."""
    started = time.monotonic()
    async with session.post("/v1/renders", json=BODY | {"job_id": job_id}) as answer:
        if answer.status != 202:
            raise SystemExit(f"a submit was answered {answer.status}: {await answer.text()}")
        await answer.read()
    taken.append(time.monotonic() - started)


async def submit_all(session: aiohttp.ClientSession, jobs: Sequence[str], at_a_time: int) -> dict[str, Any]:
    """Submits, so many at a time; their figures."""
    left, taken = iter(jobs), list[float]()

    async def worker() -> None:
        for job_id in left:
            await submit(session, job_id, taken)

    begun = time.monotonic()
    await asyncio.gather(*(worker() for _ in range(at_a_time)))
    return rate(taken, time.monotonic() - begun)


async def watch(session: aiohttp.ClientSession, one: Watched, connected: asyncio.Semaphore) -> None:
    """Follow a job to the end of its stream."""
    async with session.get(f"/v1/renders/{one.job_id}/events") as answer:
        if answer.status != 200:
            raise SystemExit(f"a watcher was answered {answer.status}: {await answer.text()}")
        async for line in answer.content:
            if line.startswith(b"event: "):
                one.types.append(line[7:].strip().decode())
                if len(one.types) == 1:
                    connected.release()
    one.received = time.monotonic()


async def first_message(session: aiohttp.ClientSession, job_id: str) -> None:
    """Ask for the events of a job until there is a place, and return at the first message."""
    while True:
        async with session.get(f"/v1/renders/{job_id}/events") as answer:
            if answer.status == 200:
                await answer.content.readline()
                return
        await asyncio.sleep(0.1)


def publish(client: Client, watched: Sequence[Watched], kinds: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Publish events of these kinds for every watched job."""
    producer, topic = client.connection.raw_producer, client.connection.topic(EVENTS)
    for kind, fields in kinds:
        for one in watched:
            base = {"type": kind, "job_id": one.job_id, "tenant": "default", "request_id": "r"}
            event = EVENT.validate_python(base | {"time_ms": time.time_ns() // 1_000_000} | fields)
            one.published = time.monotonic()
            send(producer, topic, event.model_dump_json(exclude_none=True).encode(), one.job_id.encode())
            producer.poll(0)
    if producer.flush(60):
        raise SystemExit("the broker did not take every event")


LIFE: list[tuple[str, dict[str, Any]]] = [
    ("accepted", {"engine": "puppet"}),
    ("started", {"stage": "infer"}),
    *(("progress", {"stage": "infer", "percent": 5.0 * n, "done": n, "total": 20}) for n in range(1, PROGRESS + 1)),
]
END: list[tuple[str, dict[str, Any]]] = [("failed", {"stage": "infer", "code": "INTERNAL", "message": "bench"})]


async def load(
    client: Client, url: str, watchers: int, submits: int, at_a_time: int, connections: int = 0
) -> dict[str, Any]:
    """The figures of the gateway at ``url``; ``client`` is of the same deployment."""
    library, jobs = library_loop(client, max(1, submits // 4))
    figures: dict[str, Any] = {"watchers": watchers, "submits": submits, "at_a_time": at_a_time, "library": library}
    limits = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=END_S)
    async with aiohttp.ClientSession(url, connector=limits, timeout=timeout) as session:
        watched = [Watched(uuid.uuid4().hex) for _ in range(watchers)]
        figures["one_at_a_time"] = await submit_all(session, [one.job_id for one in watched], 1)
        connected, begun = asyncio.Semaphore(0), time.monotonic()
        following = [asyncio.create_task(watch(session, one, connected)) for one in watched]
        for _ in watched:
            await connected.acquire()
        figures["watchers_connected_s"] = round(time.monotonic() - begun, 2)
        more = [uuid.uuid4().hex for _ in range(submits)]
        beside = asyncio.create_task(asyncio.to_thread(publish, client, watched, LIFE))
        figures["submit"] = await submit_all(session, more, at_a_time)
        await beside
        await asyncio.to_thread(publish, client, watched, END)
        await asyncio.wait(following, timeout=END_S)
        jobs += [*(one.job_id for one in watched), *more]
        if connections:
            beside_crowd = [uuid.uuid4().hex for _ in range(CROWD_SUBMITS)]
            figures["crowd"] = await crowd(
                url,
                more[0],
                connections,
                partial(submit_all, session, beside_crowd, 1),
                partial(first_message, session, more[0]),
            )
            jobs += beside_crowd
    figures["ratio_to_library"] = round(figures["submit"]["per_s"] / library["per_s"], 2)
    ended = [one for one in watched if one.received and one.types[-1] == "failed"]
    figures["end_ms"] = quantiles([one.received - one.published for one in ended])
    figures["watchers_without_end"] = len(watched) - len(ended)
    figures["messages"] = sum(len(one.types) for one in watched)
    figures["requests_lost"] = len(set(jobs) - on_the_topic(client))
    return figures


def on_the_topic(client: Client) -> set[str]:
    """The ids of the jobs whose requests are on the topics."""
    found: set[str] = set()
    for name in REQUEST_TOPICS:
        topic = client.connection.topic(name)
        window = topic_log.newest(client.connection, topic, 1_000_000)
        for message in topic_log.records(client.connection, topic, window.offsets):
            found.add((topic_log.key_of(message) or b"").decode())
    return found


@contextmanager
def gateway(environment: dict[str, str], folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A gateway in a process of its own, once it answers: its address. Raises SystemExit when it does not."""
    (port,) = ports.pick(1)
    variables = {"LIPSTAGE_GATEWAY_PORT": str(port), "LIPSTAGE_GATEWAY_RATE_PER_S": "100000",
                 "LIPSTAGE_GATEWAY_RATE_BURST": "1000000"}  # fmt: skip
    log = folder / "gateway.log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "stages.gateway"], stdout=out, stderr=out,
                                   env=environment | variables)  # fmt: skip
    until = time.monotonic() + START_S
    try:
        while b"gateway_answers" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the gateway does not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield f"http://{ports.HOST}:{port}", process
    finally:
        process.terminate()
        process.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--watchers", type=int, default=200)
    parser.add_argument("--submits", type=int, default=2000)
    parser.add_argument("--at-a-time", type=int, default=16)
    parser.add_argument("--crowd", type=int, default=0)
    parser.add_argument("--json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        settings = LocalSettings(state_dir=Path(name) / "state", jars_dir=LocalSettings().jars, topic_prefix=PREFIX)
        try:
            started = stack.up(settings, services=False)
            own = started.environment(stack.credentials_of(started))
            environment = {n: v for n, v in os.environ.items() if not n.startswith(OTHERS)} | own
            environment |= {"LIPSTAGE_TOPIC_PREFIX": PREFIX, "OTEL_EXPORTER_OTLP_ENDPOINT": ""}
            runtime = RuntimeSettings(bootstrap_servers=started.bootstrap_servers, topic_prefix=PREFIX)
            access = S3Access(own["AWS_ENDPOINT_URL_S3"], own.get("AWS_REGION"), own["AWS_ACCESS_KEY_ID"],
                              own["AWS_SECRET_ACCESS_KEY"])  # fmt: skip
            with Client(Deployment(runtime, s3=access), service_name="bench") as client:
                admin_process.ask(client.settings, "make_topics", 120, timeout_s=60)
                ensure(client.connection.s3, client.connection.storage_settings)
                with gateway(environment, Path(name)) as (url, process):
                    figures = asyncio.run(
                        load(client, url, options.watchers, options.submits, options.at_a_time, options.crowd)
                    )
                    figures["gateway_rss_mb"] = resident_mb(process)
                    figures["gateway_cpu_s"] = round(cpu_s(process.pid), 1)
        finally:
            stack.down(settings, purge=True)
    emit("gateway", figures)
    if figures["requests_lost"] or figures["watchers_without_end"]:
        raise SystemExit("something was lost")


if __name__ == "__main__":
    main()
