"""Records that can't be read between good ones: how long the next good job waits, and what is left of the throughput.

    .venv/bin/python -m bench.poison [--jobs 100] [--json FILE]

A real stage service with a trivial handler and one slot. Targets: the next good job is delayed <= 1 s; throughput with
one poison record in ten >= 0.95 of good jobs alone. Every poison record becomes a dead letter. Starts its own stack.
"""

import argparse
import statistics
import time

from bench.one_stage import OneStage, one_stage
from bench.record import emit


def latency(service: OneStage, poisons: int) -> float:
    """Milliseconds until a good job is sent on, behind ``poisons`` poison records."""
    start = time.monotonic()
    for _ in range(poisons):
        service.send_poison()
    return (service.wait(service.send(service.task())) - start) * 1000


def throughput(service: OneStage, jobs: int, poison_every: int | None) -> float:
    """Good jobs a second, all sent at once; before every n-th of them a poison record."""
    start = time.monotonic()
    sent = []
    for number in range(jobs):
        if poison_every is not None and number % poison_every == 0:
            service.send_poison()
        sent.append(service.send(service.task()))
    return jobs / (max(service.wait(job) for job in sent) - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--json")
    jobs = parser.parse_args().jobs
    with one_stage() as service:
        pairs = [(latency(service, 0), latency(service, 1)) for _ in range(30)]
        # In the order A B B A: load on the machine affects both alike.
        good, mixed = [throughput(service, jobs, None)], [throughput(service, jobs, 9) for _ in range(2)]
        good.append(throughput(service, jobs, None))
    delays = [after - alone for alone, after in pairs]
    ratio = statistics.mean(mixed) / statistics.mean(good)
    emit(
        "poison",
        {
            "good_p50_ms": round(statistics.median(alone for alone, _ in pairs), 1),
            "delay_p50_ms": round(statistics.median(delays), 1),
            "delay_max_ms": round(max(delays), 1),
            "target_delay_ms": 1000,
            "jobs_per_s": [round(value, 1) for value in good],
            "jobs_per_s_with_poison": [round(value, 1) for value in mixed],
            "throughput_ratio": round(ratio, 2),
            "records_ratio": round(ratio * 10 / 9, 2),
            "target_ratio": 0.95,
            "met": max(delays) <= 1000 and ratio >= 0.95,
        },
    )


if __name__ == "__main__":
    main()
