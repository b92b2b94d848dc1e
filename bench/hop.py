"""What a hop costs: the pipeline against the same handlers in one process, one job in flight, in one run.

    .venv/bin/python -m bench.hop [--jobs 40] [--json FILE]

A hop is: record to consumer, marker look-up, artifact in, pipe to the worker and back, artifact out, marker, produce
with its report. Targets: p50 <= 15 ms with artifacts of 1 KiB, <= 40 ms with 1 MiB. Starts broker and store itself.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import echo
from bench.record import emit
from shared.cli import connection
from shared.cli.events import Job, tail
from shared.cli.follow import follow
from shared.cli.submit import send
from shared.local import ports, readiness, stack
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


def through_the_pipeline(to: connection.Connection, size: int, jobs: int) -> list[float]:
    """Milliseconds per job from produce to done."""
    client = to.s3
    bucket = to.storage_settings.input_buckets["inputs"]
    for name in ("bench-portrait", f"bench-{size}"):
        client.put_object(Bucket=bucket, Key=f"default/{name}", Body=os.urandom(size))
    took = []
    for n in range(jobs + 5):
        job = f"hop-{size}-{os.getpid()}-{n}"
        value = json.dumps({"portrait": PORTRAIT, "speech": {"key": f"default/bench-{size}"}}).encode()
        start_at = tail(to)
        start = time.monotonic()
        send(to, to.settings.topic(REQUESTS), job, value)
        *_, last = follow(to, Job("default", job), start_at, timeout_s=60.0)
        if not isinstance(last, Done):
            raise SystemExit(f"the job did not end done: {last}")
        took.append((time.monotonic() - start) * 1000)
    return took[5:]  # The first ones open connections.


def services(size: int, prefix: str) -> tuple[list[subprocess.Popen[bytes]], list[int]]:
    """The four echo services."""
    health = ports.pick(len(STAGES))
    started = []
    for stage, port in zip(STAGES, health, strict=True):
        more = {echo.SIZE: str(size), "LIPSTAGE_HEALTH_PORT": str(port), "LIPSTAGE_TOPIC_PREFIX": prefix}
        command = [sys.executable, "-m", "bench.echo", stage]
        started.append(subprocess.Popen(command, env={**os.environ, **more}, stdout=subprocess.DEVNULL))
    return started, health


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--json")
    jobs = parser.parse_args().jobs
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        base = LocalSettings()
        settings = LocalSettings(state_dir=Path(name) / "state", jars_dir=base.jars)
        try:
            for label, (size, target) in SIZES.items():
                figures[label] = measure(settings, size, target, jobs, Path(name))
        finally:
            stack.down(settings, purge=True)
    emit("hop", figures)


def measure(settings: LocalSettings, size: int, target: float, jobs: int, folder: Path) -> dict[str, Any]:
    """One artifact size, both arms."""
    prefix = f"b{size}."
    connection.adopt(stack.up(settings.model_copy(update={"topic_prefix": prefix}), services=False))
    os.environ["LIPSTAGE_TOPIC_PREFIX"] = prefix
    os.environ["LIPSTAGE_CACHE_KEY"] = os.urandom(16).hex()  # Nothing is cached; a service without one says so.
    running, health = services(size, prefix)
    try:
        while not all(readiness.serves(port) for port in health):
            time.sleep(0.1)
        alone = in_one_process(size, jobs, folder)
        piped = through_the_pipeline(connection.reached(), size, jobs)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)
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
    }


if __name__ == "__main__":
    main()
