"""One presenter, many texts: what the caches of a portrait save, against the same texts with a portrait each.

    .venv/bin/python -m bench.presenter [--jobs 12] [--seconds 2] [--size 512] [--json FILE]

In one run on a stack of its own, everything warm, in turns (ABBA): a batch whose jobs all name one portrait, and one
with as many texts whose portraits differ in one pixel, so that the stage face finds nothing in its cache and the engine
measures every face. No text is in the cache of the stage audio in either. Target: 1.4 times as many videos a minute.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.batch import make
from bench.realtime import HERE
from bench.record import emit
from bench.stack_of import StackOf, stack_of, used

TARGET = 1.4
ORDER = ("one", "many", "many", "one")
WARM_UP = 2


def run(
    stack: StackOf, folder: Path, name: str, jobs: int, seconds: float, size: int, portraits: int
) -> dict[str, Any]:
    """One batch from its submission to its end."""
    place = folder / name
    place.mkdir()
    manifest = make(place, jobs, seconds, size, portraits)
    cpu, start = stack.cpu(), time.monotonic()
    stack.lipstage("submit", "--batch", str(manifest), "--batch-id", name)
    stack.lipstage("watch", "--batch", name)
    took = time.monotonic() - start
    handlers = {part: value for part, value in used(cpu, stack.cpu()).items() if part.startswith("handler")}
    return {
        "videos_a_minute": round(jobs / took * 60, 1),
        "handler_cpu_s_a_job": {part: round(value / jobs, 3) for part, value in handlers.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--json")
    options = parser.parse_args()
    jobs, shape = options.jobs, (options.seconds, options.size)
    runs: dict[str, list[dict[str, Any]]] = {"one": [], "many": []}
    with tempfile.TemporaryDirectory(prefix="bench-presenter-") as name, stack_of(HERE) as stack:
        run(stack, Path(name), "warm-up", WARM_UP, *shape, portraits=1)
        for number, kind in enumerate(ORDER):
            portraits = 1 if kind == "one" else jobs
            runs[kind].append(run(stack, Path(name), f"{kind}-{number}", jobs, *shape, portraits=portraits))
    rates = {kind: statistics.mean(one["videos_a_minute"] for one in made) for kind, made in runs.items()}
    ratio = round(rates["one"] / rates["many"], 2)
    emit(
        "presenter",
        {"jobs": jobs, "speech_s": options.seconds, "size": options.size, "one_portrait": runs["one"],
         "a_portrait_each": runs["many"], "ratio": ratio, "target": TARGET, "met": ratio >= TARGET},
    )  # fmt: skip


if __name__ == "__main__":
    main()
