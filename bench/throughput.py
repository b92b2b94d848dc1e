"""Videos a minute, and what they cost: the pipeline against the same handlers in two plain processes.

    .venv/bin/python -m bench.throughput [--jobs 10] [--alone 3] [--size 512] [--baseline CHECKOUT] [--json FILE]

In one run, everything warm, nothing from the cache, every job with files of its own:

- a batch of jobs, submitted at once: through the local stack, and by two processes that call the four handlers one
  after the other and share nothing (no broker, no object store, raw frames in a scratch folder);
- one job at a time: a fresh client process from its submission to ``done``, against one such process;
- one more job, while the objects in the store are listed.

With a baseline, a second checkout with an environment of its own, that checkout's stack is measured in the same run and
by the same means, with its own client. Ratios: more is better.
"""

import argparse
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.handlers_process import HandlersProcess
from bench.realtime import HERE, unseen
from bench.record import emit
from bench.stack_of import StackOf, stack_of, used

PROCESSES = 2
TARGETS = {
    "batch": (0.75, "at least", "a batch: the plain processes' time / the pipeline's"),
    "alone": (1.0, "at least", "one job, submit to done: the handlers in a row / the pipeline"),
    "first_produce_ms": (
        50.0,
        "at most",
        "first produce of a fresh client process until acknowledged, ms, the longest",
    ),
    "store_mb_during": (10.0, "at most", "objects of one job and its inputs while it runs, MB"),
    "store_mb_after": (2.0, "at most", "the same after it, MB"),
    "cpu_s_beside_handlers": (1.2, "at most", "CPU beside the handlers, seconds a job of the batch"),
    "tail": (4.0, "at least", "from infer's end to done: the baseline's time / this one's"),
}
Job = dict[str, Any]


class Jobs:
    """Makes jobs: the sample's files with a few bits changed, and a seed of its own for each."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size, self._made = folder, size, 0

    def take(self, count: int) -> list[Job]:
        """So many new jobs."""
        return [self._one() for _ in range(count)]

    def _one(self) -> Job:
        self._made += 1
        folder = self._folder / str(self._made)
        folder.mkdir()
        portrait, speech = unseen(folder)
        return {"portrait": str(portrait), "speech": str(speech), "size": self._size, "seed": self._made}


@contextmanager
def plain(checkout: Path) -> Iterator[list[HandlersProcess]]:
    """The plain processes, their networks loaded."""
    with ExitStack() as stack:
        yield [stack.enter_context(HandlersProcess(checkout)) for _ in range(PROCESSES)]


def plain_batch(processes: Sequence[HandlersProcess], jobs: list[Job]) -> dict[str, Any]:
    """All jobs by the processes, each taking the next one when it is free."""
    rows: list[dict[str, Any]] = []
    queue = iter(jobs)

    def work(process: HandlersProcess) -> None:
        while (job := next(queue, None)) is not None:
            rows.append(process.render(job))

    start = time.monotonic()
    with ThreadPoolExecutor(len(processes)) as pool:
        list(pool.map(work, processes))  # Raises what a thread raised.
    wall = time.monotonic() - start
    cpu = {name: round(sum(row["cpu_s"][name] for row in rows) / len(rows), 2) for name in rows[0]["cpu_s"]}
    return {
        "wall_s": round(wall, 2),
        "videos_a_minute": round(60 * len(jobs) / wall, 1),
        "cpu_s_a_job": {**cpu, "all": round(sum(cpu.values()), 2)},
    }


def measured_plain(jobs: Jobs, batch: int, alone: int) -> dict[str, Any]:
    """The plain processes: a batch, then jobs one at a time."""
    with plain(HERE) as processes:
        plain_batch(processes, jobs.take(PROCESSES))
        figures = {"batch": plain_batch(processes, jobs.take(batch))}
        walls = [plain_batch(processes[:1], jobs.take(1))["wall_s"] for _ in range(alone)]
    return {**figures, "alone": {"wall_s": statistics.median(walls), "all": walls}}


def measured_stack(checkout: Path, jobs: Jobs, batch: int, alone: int) -> dict[str, Any]:
    """The pipeline of a checkout: a batch, jobs one at a time, and the bytes of one job."""
    with stack_of(checkout) as stack:
        stack.render(jobs.take(2))
        figures = {"batch": _stack_batch(stack, jobs.take(batch)), "alone": _stack_alone(stack, jobs, alone)}
        with stack.listing() as listing:
            stack.render(jobs.take(1))
        figures["store_mb"] = {
            name: {role: round(count / 1e6, 2) for role, count in found.items()}
            for name, found in (("during", listing.peak), ("after", listing.last))
        }
    return figures


def _stack_batch(stack: StackOf, jobs: list[Job]) -> dict[str, Any]:
    cpu, requests = stack.cpu(), stack.requests()
    done = stack.render(jobs)
    cpu, requests = used(cpu, stack.cpu()), stack.requests() - requests
    a_job = {part: round(seconds / len(jobs), 2) for part, seconds in cpu.items()}
    a_job["client"] = round(done["cpu_s"] / len(jobs), 2)
    handlers = sum(seconds for part, seconds in a_job.items() if part.startswith("handler "))
    return {
        "wall_s": round(done["wall_s"], 2),
        "videos_a_minute": round(60 * len(jobs) / done["wall_s"], 1),
        "first_video_s": round(min(job["wall_s"] for job in done["jobs"]), 2),
        "cpu_s_a_job": {**a_job, "all": round(sum(a_job.values()), 2)},
        "cpu_s_a_job_beside_handlers": round(sum(a_job.values()) - handlers, 2),
        "requests_a_job": {name: round(count / len(jobs), 1) for name, count in sorted(requests.items())},
    }


def _stack_alone(stack: StackOf, jobs: Jobs, count: int) -> dict[str, Any]:
    """Fresh client processes, one after the other, with one job each."""
    runs = [stack.render(jobs.take(1)) for _ in range(count)]
    rows = [run["jobs"][0] for run in runs]
    stages = {name: round(statistics.median(row["seconds"][name] for row in rows), 2) for name in rows[0]["seconds"]}
    return {
        "wall_s": round(statistics.median(row["wall_s"] for row in rows), 2),
        "all": [round(row["wall_s"], 2) for row in rows],
        "stage_s": stages,
        "tail_s": round(statistics.median(row["tail_s"] for row in rows), 2),
        "first_produce_ms": round(statistics.median(run["first_produce_ms"] for run in runs), 1),
        "first_produce_ms_all": [round(run["first_produce_ms"], 1) for run in runs],
    }


def compared(pipeline: dict[str, Any], alone: dict[str, Any]) -> dict[str, float]:
    """The figures of the targets: the pipeline against the plain processes."""
    store = pipeline["store_mb"]
    return {
        "batch": round(alone["batch"]["wall_s"] / pipeline["batch"]["wall_s"], 2),
        "alone": round(alone["alone"]["wall_s"] / pipeline["alone"]["wall_s"], 2),
        "first_produce_ms": max(pipeline["alone"]["first_produce_ms_all"]),
        "store_mb_during": round(store["during"]["jobs"] + store["during"]["inputs"], 2),
        "store_mb_after": round(store["after"]["jobs"] + store["after"]["inputs"], 2),
        "cpu_s_beside_handlers": pipeline["batch"]["cpu_s_a_job_beside_handlers"],
    }


def judged(figures: dict[str, float]) -> dict[str, Any]:
    """Each figure beside its target."""
    rows = {}
    for name, figure in figures.items():
        target, way, meaning = TARGETS[name]
        met = figure >= target if way == "at least" else figure <= target
        rows[name] = {"meaning": meaning, "figure": figure, "target": f"{way} {target:g}", "met": met}
    return rows


def measure(size: int, batch: int, alone: int, baseline: Path | None) -> dict[str, Any]:
    """Everything, in the order pipeline, plain processes, baseline's pipeline."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        jobs = Jobs(Path(folder), size)
        here = measured_stack(HERE, jobs, batch, alone)
        by_hand = measured_plain(jobs, batch, alone)
        before = None if baseline is None else measured_stack(baseline, jobs, batch, alone)
    figures: dict[str, Any] = {
        "jobs": batch,
        "size": size,
        "targets": judged(compared(here, by_hand)),
        "cpu_s_a_job_beyond_plain": round(
            here["batch"]["cpu_s_a_job"]["all"] - by_hand["batch"]["cpu_s_a_job"]["all"], 2
        ),
        "pipeline": here,
        "plain": by_hand,
    }
    if before is not None:
        tail = round(before["alone"]["tail_s"] / max(here["alone"]["tail_s"], 0.01), 2)
        figures["targets"] |= judged({"tail": tail})
        figures["baseline"] = before
        figures["targets_of_baseline"] = judged(compared(before, by_hand))
        figures["baseline_to_pipeline"] = {
            "batch": round(before["batch"]["wall_s"] / here["batch"]["wall_s"], 2),
            "alone": round(before["alone"]["wall_s"] / here["alone"]["wall_s"], 2),
        }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--alone", type=int, default=3, help="jobs that run one at a time")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--baseline", type=Path, help="another checkout, set up by `make setup-dev`")
    parser.add_argument("--json")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # So that everything is ended.
    baseline = None if options.baseline is None else options.baseline.resolve()
    emit("throughput", measure(options.size, options.jobs, options.alone, baseline))


if __name__ == "__main__":
    main()
