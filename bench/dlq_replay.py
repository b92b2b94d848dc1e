"""Replay of dead letters against a plain produce loop over the same records, in one run.

    .venv/bin/python -m bench.dlq_replay [--count 10000] [--json FILE]

Three rates in records a second: a loop that only produces the records and waits for their delivery reports; the replay
without traces; the replay with a trace exported for each record. A replay writes three records for each dead letter:
the record, its event and its state, one after the other. Floors: 5000/s without traces, 2000/s with them. Also the time
of the plan, and the resident memory of the process that replays: before, and at its highest. Starts its own broker,
object store and trace receiver.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.record import emit
from shared.client import Client, DeadLetterFilter, Deployment, ReplayOptions
from shared.client.connection import Connection
from shared.client.dead_letters import scan
from shared.client.dead_letters.rewriting import Rewriter
from shared.local import stack
from shared.local.settings import LocalSettings
from shared.messages.topics import DLQ
from tests.client.dead_letters.making import Made, send

PREFIX = "b."
UNTRACED_FLOOR, TRACED_FLOOR = 5000.0, 2000.0
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_mb() -> float:
    """Resident memory of this process, MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def rate(count: int, started: float, cpu_started: float) -> dict[str, Any]:
    """Records a second, and microseconds of this process's CPU for each: the latter hardly depends on other load."""
    wall, cpu = time.monotonic() - started, time.process_time() - cpu_started
    return {"records_per_s": round(count / wall), "cpu_us_per_record": round(cpu / count * 1e6)}


def produce(connection: Connection, count: int) -> dict[str, Any]:
    """The rate of a plain loop: read the dead letters, produce each, wait for all reports."""
    topic = connection.topic(DLQ)
    started, cpu, producer = time.monotonic(), time.process_time(), connection.raw_producer
    for dead in scan.dead_letters(connection, scan.ranges(connection, topic)):
        producer.produce(connection.topic("render.encode"), dead.value, dead.key, headers=dead.original_headers)
        producer.poll(0)
    if producer.flush(60):
        raise SystemExit("the broker did not take every record")
    return rate(count, started, cpu)


def replay(client: Client, count: int) -> dict[str, Any]:
    """The rate, the time of the plan, and the memory of one replay."""
    rewriter = Rewriter(client.settings.topic_prefix)
    started = time.monotonic()
    one = client.replay(ReplayOptions(DeadLetterFilter(), rewriter, force=True))
    plan = one.plan()
    planned = time.monotonic() - started
    if plan.to_send != count:
        raise SystemExit(f"the plan is wrong: {plan.as_json()}")
    before = highest = resident_mb()

    def measure(counts: Any) -> None:
        nonlocal highest
        if counts["sent"] % 500 == 0:
            highest = max(highest, resident_mb())

    started, cpu = time.monotonic(), time.process_time()
    done = one.run(plan.work, measure)
    figures = rate(count, started, cpu)
    if done.sent != count:
        raise SystemExit(f"not every record was sent: {done}")
    return {
        **figures,
        "plan_s": round(planned, 2),
        "rss_before_mb": round(before, 1),
        "rss_highest_mb": round(highest, 1),
    }


def measure_here(what: str, count: int) -> dict[str, Any]:
    """One measurement, in this process, on the deployment that the environment names."""
    with Client(Deployment(), service_name="bench") as client:
        if what == "make":
            send(client.connection, [Made(f"job-{n}") for n in range(count)])
            return {}
        if what == "produce":
            return produce(client.connection, count)
        return replay(client, count)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--json")
    parser.add_argument("--part", help="for the benchmark itself")
    options = parser.parse_args()
    if options.part:
        sys.stdout.write(json.dumps(measure_here(options.part, options.count)))
        return
    figures: dict[str, Any] = {"count": options.count}
    with tempfile.TemporaryDirectory() as name:
        base = LocalSettings()
        settings = LocalSettings(state_dir=Path(name) / "state", jars_dir=base.jars, topic_prefix=PREFIX)
        try:
            started = stack.up(settings, services=False)
            environment = {**os.environ, **started.environment(stack.credentials_of(started))}
            environment["LIPSTAGE_TOPIC_PREFIX"] = PREFIX
            # Each in a process of its own: their memory is compared.
            for what in ("make", "produce", "untraced", "traced"):
                environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = started.otlp_endpoint if what == "traced" else ""
                command = [sys.executable, "-m", "bench.dlq_replay", "--count", str(options.count)]
                command += ["--part", what]
                answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                figures[what] = json.loads(answer.stdout)
        finally:
            stack.down(settings, purge=True)
    del figures["make"]
    for what, floor in (("untraced", UNTRACED_FLOOR), ("traced", TRACED_FLOOR)):
        reached = figures[what]["records_per_s"]
        figures[what] |= {
            "floor": floor,
            "met": reached >= floor,
            "ratio_to_produce": round(reached / figures["produce"]["records_per_s"], 2),
        }
    emit("dlq_replay", figures)


if __name__ == "__main__":
    main()
