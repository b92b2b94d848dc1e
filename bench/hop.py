"""The cost of a hop: the pipeline against the same handlers in one process, one job in flight, in one run.

    .venv/bin/python -m bench.hop [--jobs 40] [--size "1 KiB"] [--json FILE]

A hop is: consume the record, read the marker, read the artifact, pass it to the worker process and back, write the
artifact, write the marker, publish and wait for the delivery report. Targets: p50 <= 15 ms with artifacts of 1 KiB,
<= 40 ms with 1 MiB; the whole job of four hops with 1 KiB <= 90 ms. Starts its own broker and object store. Prints
beside the times the requests to the object store by what they are for, and the CPU of every part, in work and idle.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import echo, processes_cpu, store_requests
from bench.record import emit
from shared.client import Client, JobKey
from shared.client.submission import send
from shared.local import ports, readiness, stack
from shared.local.deployment import deployment_of
from shared.local.settings import LocalSettings
from shared.messages.events import Done
from shared.messages.pipeline import STAGES
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.messages.topics import REQUESTS
from shared.slot.api import Task
from tests.stage_harness import StageHarness

SIZES = {"1 KiB": (1024, 15.0), "1 MiB": (1 << 20, 40.0)}
PORTRAIT = {"key": "default/bench-portrait"}
WARM_UP_JOBS = 5
"""The first jobs open connections; they are not counted."""
IDLE_S = 5.0
"""How long the CPU use of a pipeline without jobs is read, seconds."""


def in_one_process(size: int, jobs: int, folder: Path) -> list[float]:
    """Milliseconds per job of the four handlers called one after the other."""
    os.environ[echo.SIZE] = str(size)
    blob = folder / "in"
    blob.write_bytes(os.urandom(size))
    request = RenderRequest.model_validate({"portrait": PORTRAIT, "speech": PORTRAIT})
    job = RenderTask(job_id="j", request_id="r", request=request, submitted_ms=0)
    took = []
    for n in range(jobs):
        start = time.monotonic()
        for stage in STAGES:
            context = StageHarness(folder / f"{n}-{stage}")
            echo.handle(context, Task(job=job, inputs={"blob": blob}))
        took.append((time.monotonic() - start) * 1000)
    return took


def through_the_pipeline(client: Client, size: int, jobs: int, number: int) -> list[float]:
    """Milliseconds per job from produce to done. ``number`` makes the job ids of one call its own."""
    connection = client.connection
    bucket = connection.storage_settings.input_buckets["inputs"]
    for name in ("bench-portrait", f"bench-{size}"):
        connection.s3.put_object(Bucket=bucket, Key=f"default/{name}", Body=os.urandom(size))
    took = []
    for n in range(jobs):
        job = JobKey("default", f"hop-{size}-{os.getpid()}-{number}-{n}")
        value = json.dumps({"portrait": PORTRAIT, "speech": {"key": f"default/bench-{size}"}}).encode()
        position = client.position()
        start = time.monotonic()
        send(connection, connection.topic(REQUESTS), job.job_id, value)
        end = client.wait(job, start=position, timeout_s=60.0)
        if not isinstance(end, Done):
            raise SystemExit(f"the job is not done: {end}")
        took.append((time.monotonic() - start) * 1000)
    return took


def services(size: int, environment: dict[str, str]) -> tuple[list[subprocess.Popen[bytes]], list[int]]:
    """The four echo services, and their health ports."""
    health = ports.pick(len(STAGES))
    processes = []
    for stage, port in zip(STAGES, health, strict=True):
        variables = {**os.environ, **environment, echo.SIZE: str(size), "LIPSTAGE_HEALTH_PORT": str(port)}
        command = [sys.executable, "-m", "bench.echo", stage]
        processes.append(subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL))
    return processes, health


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--size", choices=SIZES, action="append", help="only artifacts of this size")
    parser.add_argument("--json")
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        base = LocalSettings()
        settings = LocalSettings(state_dir=Path(name) / "state", jars_dir=base.jars)
        try:
            for label in options.size or SIZES:
                size, target = SIZES[label]
                figures[label] = measure(settings, size, target, options.jobs, Path(name))
        finally:
            stack.down(settings, purge=True)
    emit("hop", figures)


def measure(settings: LocalSettings, size: int, target: float, jobs: int, folder: Path) -> dict[str, Any]:
    """One artifact size: the pipeline and the handlers in one process."""
    prefix = f"b{size}."
    started = stack.up(settings.model_copy(update={"topic_prefix": prefix}), services=False)
    environment = started.environment(stack.credentials_of(started)) | {"LIPSTAGE_TOPIC_PREFIX": prefix}
    environment["LIPSTAGE_CACHE_KEY"] = os.urandom(16).hex()  # Nothing is cached; without a key services log a warning.
    counts = folder / f"requests-{size}"
    counts.mkdir()
    environment[store_requests.FOLDER] = str(counts)
    processes, health = services(size, environment)
    try:
        while not all(readiness.serves(port) for port in health):
            time.sleep(0.1)
        alone = in_one_process(size, jobs, folder)
        deployment = deployment_of(started)
        runtime = deployment.runtime.model_copy(update={"topic_prefix": prefix})
        with Client(replace(deployment, runtime=runtime), service_name="bench") as client:
            through_the_pipeline(client, size, WARM_UP_JOBS, 0)
            pids = {stage: process.pid for stage, process in zip(STAGES, processes, strict=True)}
            idle = processes_cpu.read(started, pids)
            time.sleep(IDLE_S)
            before = processes_cpu.read(started, pids)
            piped = through_the_pipeline(client, size, jobs, 1)
            after = processes_cpu.read(started, pids)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)
    requests = store_requests.total(counts)
    p50, p50_alone = statistics.median(piped), statistics.median(alone)
    hop = (p50 - p50_alone) / len(STAGES)
    return {
        "jobs": jobs,
        "pipeline_p50_ms": round(p50, 1),
        "one_process_p50_ms": round(p50_alone, 2),
        "hop_p50_ms": round(hop, 1),
        "hop_p90_ms": round((statistics.quantiles(piped, n=10)[8] - p50_alone) / len(STAGES), 1),
        "ratio": round(p50 / p50_alone, 1),
        "target_ms": target,
        "met": hop <= target,
        "requests_a_job": round(requests.total() / (jobs + WARM_UP_JOBS), 1),
        "requests_a_job_by_kind": {
            name: round(count / (jobs + WARM_UP_JOBS), 2) for name, count in sorted(requests.items())
        },
        "cpu_ms_a_job": processes_cpu.between(before, after, jobs / 1000, 1),
        "cpu_percent_idle": processes_cpu.between(idle, before, IDLE_S / 100, 1),
    }


if __name__ == "__main__":
    main()
