"""A task that is delivered again after it was finished: what it costs, and that nothing runs again.

    .venv/bin/python -m bench.duplicate [--jobs 50] [--json FILE]

A real stage service with a trivial handler. Milliseconds from sending the record to the task that is sent on, for the
first delivery and for a repeated one. Targets: repeated p50 <= 25 ms, 0 further runs. Starts its own stack.
"""

import argparse
import statistics
import time

from bench.one_stage import one_stage
from bench.record import emit

TARGET_MS = 25.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--json")
    jobs = parser.parse_args().jobs
    first: list[float] = []
    again: list[float] = []
    runs = 0
    with one_stage() as service:
        for _ in range(jobs):
            task = service.task()
            for count, took in ((1, first), (2, again)):
                start = time.monotonic()
                service.send(task)
                took.append((service.wait(task.job_id, count) - start) * 1000)
            runs += len(service.runs(task.job_id))
    p50 = statistics.median(again)
    emit(
        "duplicate",
        {
            "jobs": jobs,
            "first_p50_ms": round(statistics.median(first), 1),
            "repeated_p50_ms": round(p50, 1),
            "repeated_p90_ms": round(statistics.quantiles(again, n=10)[8], 1),
            "further_runs": runs - jobs,
            "target_ms": TARGET_MS,
            "met": p50 <= TARGET_MS and runs == jobs,
        },
    )


if __name__ == "__main__":
    main()
