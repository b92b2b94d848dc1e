"""How long a command takes to answer, a service to be ready, and the local stack to be up.

    .venv/bin/python -m bench.starting [--rounds 15] [--starts 3] [--json FILE]

On a stack of its own, where one job is done: ``config``, ``status`` and ``job`` in turns, each in a process of its own,
beside a Python that only loads the libraries of such a command. A service is another replica of its stage, until its
/readyz answers 200. Files of the stack are there before (`make setup`); its data is not.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from bench.realtime import HERE
from bench.record import emit
from bench.stack_of import START, StackOf, stack_of
from bench.versions import FILES
from shared.local import ports

TARGET_S = 0.35
READY_S = 60.0
LOOK_S = 0.01
STAGES = ("audio", "face", "infer", "encode", "relay")
LIBRARIES = "import typer, pydantic_settings, confluent_kafka, boto3"


def run(stack: StackOf, *command: str) -> tuple[float, float]:
    """Seconds that a process takes, and its CPU seconds with those of its children. Raises SystemExit when it fails."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, *command], env=stack.environment(), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return wall_s, usage.ru_utime + usage.ru_stime


def commands(stack: StackOf, job: str, rounds: int) -> dict[str, dict[str, float]]:
    """Medians of each command, seconds."""
    taken: dict[str, list[tuple[float, float]]] = {}
    lines: dict[str, Sequence[str]] = {
        "libraries alone": ("-c", LIBRARIES),
        **{name: ("-c", START, *name.split()) for name in ("config", "status")},
        "job": ("-c", START, "job", job),
    }
    for turn in range(rounds + 1):
        for name, line in lines.items():
            figures = run(stack, *line)
            if turn:  # The first reads files that the others find in memory.
                taken.setdefault(name, []).append(figures)
    return {
        name: {
            "wall_s": round(statistics.median(wall for wall, _ in all_of), 3),
            "least_s": round(min(wall for wall, _ in all_of), 3),
            "cpu_s": round(statistics.median(cpu for _, cpu in all_of), 3),
        }
        for name, all_of in taken.items()
    }


def until_ready(stack: StackOf, stage: str) -> float:
    """Seconds from the start of a service until it is ready. Raises SystemExit when it does not get there."""
    (port,) = ports.pick(1)
    environment = stack.environment() | {"LIPSTAGE_HEALTH_PORT": str(port)}
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", START, "stage", stage], env=environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > started + READY_S:
                raise SystemExit(f"the service {stage} does not get ready")
            time.sleep(LOOK_S)
        return time.monotonic() - started
    finally:
        process.terminate()
        process.wait(READY_S)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{ports.HOST}:{port}/readyz", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def main() -> None:
    """Measure and print the record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--starts", type=int, default=3)
    options, _ = parser.parse_known_args()
    begun = time.monotonic()
    with stack_of(HERE) as stack:
        up_s = {"first": round(time.monotonic() - begun, 2)}
        up_s["again"] = round(run(stack, "-c", START, "up")[0], 2)
        job = stack.lipstage("submit", *map(str, FILES)).strip()
        stack.lipstage("watch", job)
        answers = commands(stack, job, options.rounds)
        ready = {stage: [until_ready(stack, stage) for _ in range(options.starts)] for stage in STAGES}
    figures: dict[str, Any] = {
        "up_s": up_s,
        "ready_s": {stage: round(statistics.median(seconds), 2) for stage, seconds in ready.items()},
        "commands": answers,
        "targets": {
            name: {
                "meaning": f"`lipstage {name}` answers, seconds",
                "figure": answers[name]["wall_s"],
                "target": f"at most {TARGET_S}",
                "met": answers[name]["wall_s"] <= TARGET_S,
            }
            for name in ("config", "status", "job")
        },
    }
    emit("starting", figures)


if __name__ == "__main__":
    main()
