"""The job-state projection: rebuild from the events, restart from render.jobs, memory, and the time of its answers.

    .venv/bin/python -m bench.projection [--jobs 100000] [--events 12] [--json FILE]

Publishes the events of that many finished jobs and measures a projection in a process of its own: seconds until it has
folded them all from the beginning (a rebuild), seconds until a second one has read the states back (a
restart), its resident memory after both, the seconds of CPU of the rebuild, and the time of answers beside a scan of
the events. Starts its own broker, object store and trace receiver.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.record import emit
from shared.client import Client, Deployment
from shared.client.connection import Connection
from shared.client.errors import ClientError
from shared.client.job_key import JobKey
from shared.client.projection import Projection
from shared.local import ports, stack
from shared.local.settings import LocalSettings
from shared.messages.pipeline import STAGES
from shared.messages.topics import EVENTS
from shared.runtime import admin_process
from shared.runtime.settings import RuntimeSettings
from tests.projection.events import DONE, event

PREFIX = "b."
EVENTS_PER_JOB = 4 + 2 * len(STAGES)
LIMIT_S = 1800.0
QUESTIONS = 20


def publish(connection: Connection, jobs: int, events: int = EVENTS_PER_JOB) -> None:
    """The events of finished jobs, as a pipeline of three seconds a job would send them."""
    producer, topic = connection.raw_producer, connection.topic(EVENTS)
    start = int(time.time() * 1000) - jobs
    base = {"labels": {"name": "anna"}, "trace_id": "a" * 32}
    for number in range(jobs):
        job_id, key = f"job-{number:07d}", f"job-{number:07d}".encode()
        times = iter(range(start + number, start + number + EVENTS_PER_JOB))
        life: list[tuple[str, dict[str, Any]]] = [("accepted", {"engine": "puppet"})]
        for stage in STAGES:
            life += [("started", {"stage": stage}), ("finished", {"stage": stage, "seconds": 0.7})]
        life.insert(6, ("progress", {"stage": "infer", "percent": 40.0, "done": 40, "total": 100}))
        life.insert(7, ("progress", {"stage": "infer", "percent": 80.0, "done": 80, "total": 100}))
        for kind, fields in [*life[: events - 1], ("done", DONE)]:
            one = event(kind, **base | fields | {"job_id": job_id, "time_ms": next(times)})
            send(producer, topic, one.model_dump_json(exclude_none=True).encode(), key)
        producer.poll(0)
    if producer.flush(120):
        raise SystemExit("the broker did not take every event")


def send(producer: Any, topic: str, value: bytes, key: bytes) -> None:
    """Send a record, once the producer's queue has room."""
    while True:
        try:
            producer.produce(topic, value, key)
            return
        except BufferError:
            producer.poll(0.1)


@contextmanager
def projection(environment: dict[str, str]) -> Iterator[tuple[Projection, "subprocess.Popen[bytes]"]]:
    """A projection in a process of its own; the caller waits for it."""
    (port,) = ports.pick(1)
    process = subprocess.Popen([sys.executable, "-m", "stages.gateway.projection"], stdout=subprocess.DEVNULL,
                           env=environment | {"LIPSTAGE_PROJECTION_PORT": str(port)})  # fmt: skip
    try:
        yield Projection(f"http://{ports.HOST}:{port}"), process
    finally:
        process.terminate()
        process.wait(60)


def until_ready(asked: Projection, process: "subprocess.Popen[bytes]", jobs: int) -> dict[str, Any]:
    """Seconds until every job is known, with CPU seconds and memory."""
    started, now = time.monotonic(), dict[str, Any]()
    while True:
        if process.poll() is not None or time.monotonic() - started > LIMIT_S:
            raise SystemExit(f"the projection ended, or is too slow: {now}")
        try:
            now = asked.get("/v1/position") or {}
        except ClientError:
            time.sleep(0.1)
            continue
        if now["not_ready"] is None and now["jobs"] == jobs:
            break
        time.sleep(0.1)
    # User and system time: after the name in parentheses, which may hold anything, fields 12 and 13.
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return {
        "seconds": round(time.monotonic() - started, 1),
        "cpu_s": round((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 1),
        "rss_mb": resident_mb(process),
    }


def resident_mb(process: "subprocess.Popen[bytes]") -> int:
    """Resident memory of the process, MB."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


def answer_ms(ask: Callable[[], object], times: int) -> float:
    """Median milliseconds of an answer."""
    taken = []
    for _ in range(times):
        started = time.monotonic()
        ask()
        taken.append(time.monotonic() - started)
    return round(sorted(taken)[times // 2] * 1000, 1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=EVENTS_PER_JOB, choices=range(1, EVENTS_PER_JOB + 1), metavar="N")
    parser.add_argument("--json")
    options = parser.parse_args()
    figures: dict[str, Any] = {"jobs": options.jobs, "events": options.jobs * options.events, "load": os.getloadavg()}
    with tempfile.TemporaryDirectory() as name:
        base = LocalSettings()
        settings = LocalSettings(state_dir=Path(name) / "state", jars_dir=base.jars, topic_prefix=PREFIX)
        try:
            started = stack.up(settings, services=False)
            environment = {**os.environ, **started.environment(stack.credentials_of(started))}
            environment |= {"LIPSTAGE_TOPIC_PREFIX": PREFIX, "OTEL_EXPORTER_OTLP_ENDPOINT": ""}
            runtime = RuntimeSettings(bootstrap_servers=started.bootstrap_servers, topic_prefix=PREFIX)
            with Client(Deployment(runtime), service_name="bench") as client:
                admin_process.ask(client.settings, "make_topics", 120, timeout_s=60)
                publish(client.connection, options.jobs, options.events)
                with projection(environment) as (asked, process):
                    figures["rebuild"] = until_ready(asked, process, options.jobs)
                    figures["rebuild"]["events_per_s"] = round(figures["events"] / figures["rebuild"]["seconds"])
                with projection(environment) as (asked, process):
                    figures["restart"] = until_ready(asked, process, options.jobs)
                    key = JobKey("default", "job-0000001")
                    figures["answers_ms"] = {
                        "jobs, 20": answer_ms(lambda: asked.jobs(limit=20), QUESTIONS),
                        "job": answer_ms(lambda: asked.job(key), QUESTIONS),
                        "statistics, a day": answer_ms(lambda: asked.get("/v1/statistics"), 5),
                        "stuck": answer_ms(lambda: asked.get("/v1/stuck"), 5),
                    }
                    figures["rss_after_answers_mb"] = resident_mb(process)
                figures["scan_ms"] = {"jobs, 20": answer_ms(lambda: client.jobs(limit=20), 3)}
        finally:
            stack.down(settings, purge=True)
    figures["load_after"] = os.getloadavg()
    emit("projection", figures)


if __name__ == "__main__":
    main()
