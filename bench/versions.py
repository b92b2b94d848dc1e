"""Two versions of the services, measured in turns by one client: this checkout and a baseline.

    .venv/bin/python -m bench.versions --baseline CHECKOUT [--rounds 2] [--jobs 7] [--json FILE]

Each round runs the stacks in the order here, baseline, baseline, here, each with its checkout's own environment. The
sample is rendered one job at a time, with audio and face from the cache after the first one. ``overhead`` is the time
that a job spends outside the four stages. Ratios: baseline / here, so that more is better.
"""

import argparse
import os
import shlex
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bench.realtime import HERE, SAMPLES, render
from bench.record import emit
from shared.client import Client, Deployment, S3Access
from shared.runtime.settings import RuntimeSettings

SIZES = (512, 256)
FILES = (SAMPLES / "portrait.png", SAMPLES / "speech.wav")


def lipstage(checkout: Path, state: Path, *arguments: str) -> str:
    """The standard output of a command of that checkout."""
    environment = {
        **os.environ,
        "LIPSTAGE_STATE_DIR": str(state),
        "LIPSTAGE_JARS_DIR": str(checkout / ".lipstage/jars"),
    }
    command = [str(checkout / ".venv" / "bin" / "lipstage"), *arguments]
    return subprocess.run(command, env=environment, cwd=checkout, check=True, capture_output=True, text=True).stdout


def deployment(exports: str) -> Deployment:
    """The deployment that the shell exports of ``lipstage config --env`` name."""
    words = [word.partition("=") for line in exports.splitlines() for word in shlex.split(line)]
    variables = {name: value for name, separator, value in words if separator}
    return Deployment(
        RuntimeSettings(bootstrap_servers=variables["KAFKA_BOOTSTRAP_SERVERS"]),
        s3=S3Access(
            variables["AWS_ENDPOINT_URL_S3"],
            variables.get("AWS_REGION"),
            variables.get("AWS_ACCESS_KEY_ID"),
            variables.get("AWS_SECRET_ACCESS_KEY"),
        ),
    )


def measure(checkout: Path, jobs: int) -> dict[int, tuple[float, float]]:
    """Median wall and overhead seconds per job, by size, of that checkout's stack."""
    medians: dict[int, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        try:
            lipstage(checkout, state, "up")
            with Client(deployment(lipstage(checkout, state, "config", "--env")), service_name="bench") as client:
                for size in SIZES:
                    runs = [render(client, size, seed, FILES) for seed in range(jobs + 1)][1:]
                    wall = statistics.median(wall for _, wall in runs)
                    overhead = statistics.median(wall - sum(done.seconds.values()) for done, wall in runs)
                    medians[size] = (wall, overhead)
        finally:
            lipstage(checkout, state, "down", "--purge")
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baseline", type=Path, required=True, help="another checkout, set up by `make setup`")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=7)
    parser.add_argument("--json")
    options = parser.parse_args()
    baseline = options.baseline.resolve()
    runs: dict[Path, list[dict[int, tuple[float, float]]]] = {HERE: [], baseline: []}
    for _ in range(options.rounds):
        for checkout in (HERE, baseline, baseline, HERE):
            runs[checkout].append(measure(checkout, options.jobs))
    figures: dict[str, Any] = {}
    for size in SIZES:
        for at, name in enumerate(("wall_s", "overhead_s")):
            here, before = ([round(run[size][at], 3) for run in runs[place]] for place in (HERE, baseline))
            ratio = statistics.median(before) / statistics.median(here)
            figures[f"{size} {name}"] = {"here": here, "baseline": before, "ratio": round(ratio, 2)}
    emit("versions", figures)


if __name__ == "__main__":
    main()
