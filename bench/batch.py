"""A batch of many short jobs on the local stack: from `submit --batch` to the last video, and what it costs.

    .venv/bin/python -m bench.batch [--jobs 2000] [--seconds 1] [--size 256] [--portraits 4] [--json FILE]

Starts a stack of its own. Every job has a recording of its own, the jobs take turns with the portraits. The batch is
submitted and watched by the command line, as a user does it; memory is read from /proc every ten seconds.
"""

import argparse
import csv
import json
import os
import resource
import statistics
import tempfile
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from PIL import Image

from bench.realtime import HERE, SAMPLES
from bench.record import emit
from bench.stack_of import Listing, StackOf, stack_of, used
from bench.versions import deployment
from shared.client import Client
from shared.local import stack_file
from shared.local.processes import usage

EVERY_S = 10.0
LIMIT_S = 6 * 3600


def make(folder: Path, jobs: int, seconds: float, size: int, portraits: int) -> Path:
    """The files of the batch and its manifest."""
    with Image.open(SAMPLES / "portrait.png") as picture:
        sample = picture.convert("RGB")
    for number in range(portraits):
        sample.putpixel((0, 0), tuple(os.urandom(3)))
        sample.save(folder / f"portrait-{number}.png")
    with wave.open(str(SAMPLES / "speech.wav")) as speech:
        form, sound = speech.getparams(), speech.readframes(round(seconds * speech.getframerate()))
    for number in range(jobs):
        changed = bytearray(sound)
        changed[-16::2] = os.urandom(8)  # The low bytes of eight samples: no job finds another one's output.
        with wave.open(str(folder / f"speech-{number}.wav"), "wb") as file:
            file.setparams(form)
            file.writeframes(changed)
    manifest = folder / "jobs.csv"
    with manifest.open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(("portrait", "speech", "min_resolution", "seed"))
        rows.writerows(
            (f"portrait-{number % portraits}.png", f"speech-{number}.wav", size, number) for number in range(jobs)
        )
    return manifest


class Memory:
    """Resident memory of every part of a stack over time, MiB, with its worker processes."""

    def __init__(self, stack: StackOf) -> None:
        self._stack = stack
        self.samples: list[dict[str, int]] = []

    def sample(self) -> None:
        """Read it once."""
        stack = stack_file.load(self._stack.state)
        assert stack is not None
        programs = {program.name: program.pid for program in stack.supervisor().programs() if program.pid}
        found = usage(programs.values())
        self.samples.append({name: found[pid].memory_mb for name, pid in programs.items() if pid in found})

    def summary(self) -> dict[str, list[int]]:
        """Of each part: at first, at a quarter, half and three quarters of the time, at the end, and the largest."""
        last = len(self.samples) - 1
        chosen = [self.samples[last * quarter // 4] for quarter in range(5)]
        names = sorted(self.samples[0])
        return {
            name: [*(one.get(name, 0) for one in chosen), max(one.get(name, 0) for one in self.samples)]
            for name in names
        }


@contextmanager
def watched(stack: StackOf) -> Iterator[Memory]:
    """Sample the memory while the block runs."""
    memory, stop = Memory(stack), Event()
    memory.sample()

    def watch() -> None:
        while not stop.wait(EVERY_S):
            memory.sample()

    thread = Thread(target=watch)
    thread.start()
    try:
        yield memory
    finally:
        stop.set()
        thread.join()
        memory.sample()


def measure(stack: StackOf, manifest: Path, jobs: int) -> dict[str, Any]:
    """Submit the batch, watch it to its end, and count what is left."""
    report = manifest.with_name("report.jsonl")
    with Client(deployment(stack.lipstage("config", "--env")), service_name="bench") as client:
        left = Listing(client)
        cpu, start = stack.cpu(), time.monotonic()
        with watched(stack) as memory:
            stack.lipstage("submit", "--batch", str(manifest), "--batch-id", "bench")
            submitted = time.monotonic() - start
            # Of the largest child so far: `up`, or the submission.
            submit_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
            stack.lipstage("watch", "--batch", "bench", "--timeout", str(LIMIT_S), "--report", str(report))
            took = time.monotonic() - start
        parts = used(cpu, stack.cpu())
        done = Event()
        done.set()
        left.watch(done)
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    seconds = sorted(row["seconds"] for row in rows if row["status"] == "done")
    return {
        "jobs": jobs,
        "done": len(seconds),
        "submit_s": round(submitted, 1),
        "submit_ms_a_job": round(submitted / jobs * 1000, 1),
        "largest_client_mb": submit_mb,
        "took_s": round(took, 1),
        "jobs_a_minute": round(jobs / took * 60, 1),
        "seconds_in_the_pipeline": {"p50": round(statistics.median(seconds), 1), "last": round(seconds[-1], 1)},
        "cpu_s_a_job": {part: round(value / jobs, 3) for part, value in parts.items()},
        "cpu_s_a_job_in_all": round(sum(parts.values()) / jobs, 2),
        "memory_mb": memory.summary(),
        "left_kb_a_job": {place: round(count / jobs / 1024, 1) for place, count in left.last.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--portraits", type=int, default=4)
    parser.add_argument("--json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-batch-") as folder, stack_of(HERE) as stack:
        manifest = make(Path(folder), options.jobs, options.seconds, options.size, options.portraits)
        figures = measure(stack, manifest, options.jobs)
    emit("batch", {"speech_s": options.seconds, "size": options.size, "portraits": options.portraits} | figures)


if __name__ == "__main__":
    main()
