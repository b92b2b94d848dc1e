"""Seconds of each stage for one task, of the real services: what the simulated day and the lag thresholds stand on.

    .venv/bin/python -m bench.autoscale.service_times [--jobs 4] [--json FILE]

Renders speech of two lengths at 512 with the engine puppet, one job at a time, nothing cached, and fits a line: seconds
a task and seconds for each second of video. Starts the local stack when none runs. Figures hold for the machine and its
load, both of which are in the record; `bench.autoscale.tasks` has those of docs/autoscaling.md.
"""

import argparse
import statistics
import tempfile
import wave
from pathlib import Path
from typing import Any

from bench.realtime import render, unseen
from bench.record import emit
from shared.client import Client
from shared.local.deployment import running_deployment
from shared.local.settings import LocalSettings

SHORT_S = 4.0
STAGES = ("audio", "face", "infer", "encode")


def cut(file: Path, seconds: float) -> None:
    """Shorten a recording to its end, which `unseen` has changed."""
    with wave.open(str(file)) as source:
        parameters, frames = source.getparams(), source.readframes(source.getnframes())
    keep = int(seconds * parameters.framerate) * parameters.sampwidth * parameters.nchannels
    with wave.open(str(file), "wb") as target:
        target.setparams(parameters)
        target.writeframes(frames[-keep:])


def line(short: tuple[float, float], long: tuple[float, float]) -> dict[str, float]:
    """Through two points (seconds of video, seconds of work); neither part is below 0."""
    each = max(0.0, (long[1] - short[1]) / (long[0] - short[0]))
    return {"task_s": round(max(0.0, long[1] - each * long[0]), 3), "per_video_s": round(each, 3)}


def measured(client: Client, jobs: int, folder: Path) -> dict[str, Any]:
    """Medians of each stage at both lengths, and their lines."""
    points: dict[str, list[tuple[float, float]]] = {stage: [] for stage in STAGES}
    for length in (SHORT_S, None):
        runs = []
        for seed in range(jobs + 1):  # The first one warms up.
            files = unseen(folder)
            if length is not None:
                cut(files[1], length)
            runs.append(render(client, 512, seed, files)[0])
        for stage in STAGES:
            points[stage].append((runs[-1].duration_s, statistics.median(run.seconds[stage] for run in runs[1:])))
    return {
        stage: {**line(*points[stage]), "measured": [[round(x, 2), round(y, 3)] for x, y in points[stage]]}
        for stage in STAGES
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--json")
    options = parser.parse_args()
    with (
        running_deployment(LocalSettings()) as deployment,
        Client(deployment, service_name="bench") as client,
        tempfile.TemporaryDirectory() as folder,
    ):
        client.check()
        figures = measured(client, options.jobs, Path(folder))
    emit("autoscale_service_times", {"resolution": 512, "engine": "puppet", "stages": figures})


if __name__ == "__main__":
    main()
