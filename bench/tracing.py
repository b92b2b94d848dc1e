"""The cost of tracing, and of a collector that is away: one stage service per way of tracing, in turns.

    .venv/bin/python -m bench.tracing [--rounds 8] [--tasks 20] [--json FILE]

Every service is a real one (broker, object store, markers, commits) whose tasks sleep 100 ms. Ratios are those of
neighbouring rounds, medians over all rounds: tasks a second with tracing on and at 10 % against off (target 0.99), and
with a collector that refuses connections or never answers against one that works (0.98). Then every service gets a
SIGTERM while it has spans to export: the seconds until its end, against tracing off (at most 3 s more).

On a machine that others use, throughput varies more than tracing costs. Two figures are steadier: the time from one
task to the next of the fastest fifth of all tasks, which the others disturbed least, and the CPU time of a task.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from socket import create_server, socket
from tempfile import TemporaryDirectory
from typing import Any

from bench.one_stage import OneStage, wait_for
from bench.one_stage_handler import RUNS, UNCONFINED
from bench.record import emit
from shared.local import ports, readiness, stack
from shared.local.settings import LocalSettings

TASK_S = 0.1
HEALTHY, OVERHEAD, AWAY, SHUTDOWN_S = "on", 0.99, 0.98, 3.0
RATIO = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Variant:
    """One way of tracing, its service and what was measured."""

    name: str
    environment: dict[str, str]
    health: int
    service: OneStage
    process: "subprocess.Popen[bytes]"
    rates: list[float] = field(default_factory=list)
    """Tasks a second, by round."""
    cycles_ms: list[float] = field(default_factory=list)
    """From one task that is sent on to the next, milliseconds, of all rounds."""
    cpu_ms: list[float] = field(default_factory=list)
    """CPU time of service and worker for a task, milliseconds, by round."""

    def round(self, tasks: int) -> None:
        """Send the tasks at once; from the first one's start until the last one is sent on."""
        before = self._cpu_s()
        jobs = [self.service.send(self.service.task(do="sleep", seconds=str(TASK_S))) for _ in range(tasks)]
        ends = sorted(self.service.wait(job) for job in jobs)
        start = min(self.service.runs(job)[0] for job in jobs)
        self.rates.append(tasks / (ends[-1] - start))
        self.cycles_ms += [1000 * (later - earlier) for earlier, later in pairwise(ends)]
        self.cpu_ms.append(1000 * (self._cpu_s() - before) / tasks)

    def stop(self, tasks: int) -> float:
        """Seconds from SIGTERM, sent when tasks have just ended, until the process has ended."""
        jobs = [self.service.send(self.service.task()) for _ in range(tasks)]
        for job in jobs:
            self.service.wait(job)
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        return time.monotonic() - start

    def spans(self) -> dict[str, int]:
        """Spans by result, as the service counts them."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/metrics", timeout=10) as answer:
            lines = [line.split() for line in answer.read().decode().splitlines()]
        prefix = "lipstage_telemetry_spans_total{"
        return {line[0].split('"')[1]: int(float(line[1])) for line in lines if line and line[0].startswith(prefix)}

    def _cpu_s(self) -> float:
        """CPU time of the service and its workers so far, seconds."""
        pids = [self.process.pid]
        for pid in pids:
            pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            # A worker is a child of the slot's thread.
            for task in Path(f"/proc/{pid}/task").iterdir():
                pids += [one for one in map(int, (task / "children").read_text().split()) if one not in pids]
        return sum(sum(map(int, _stat(pid)[13:15])) for pid in set(pids)) / TICKS


def _stat(pid: int) -> list[str]:
    head, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    return [head, "", *rest.split()]


@contextmanager
def collectors() -> Iterator[tuple[int, int]]:
    """The port of a collector that refuses connections, and of one that accepts them and never answers."""
    with socket() as bound, create_server(("127.0.0.1", 0), backlog=64) as silent:
        bound.bind(("127.0.0.1", 0))  # Nobody listens.
        yield bound.getsockname()[1], silent.getsockname()[1]


@contextmanager
def variant(name: str, settings: LocalSettings, environment: dict[str, str], folder: Path) -> Iterator[Variant]:
    """The service of one variant, ready, with topics of its own."""
    prefix = f"{name}."
    runs = folder / f"{name}.runs"
    runs.touch()
    started = stack.up(settings.model_copy(update={"topic_prefix": prefix}), services=False)
    (health,) = ports.pick(1)
    variables = started.environment(stack.credentials_of(started)) | {
        "LIPSTAGE_TOPIC_PREFIX": prefix,
        "LIPSTAGE_HEALTH_PORT": str(health),
        "LIPSTAGE_CACHE_KEY": os.urandom(16).hex(),
        RUNS: str(runs),
        **UNCONFINED,
    }
    command = [sys.executable, "-m", "bench.one_stage"]
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, **variables, **environment}, stdout=log, stderr=log)
        try:
            wait_for(lambda: readiness.serves(health))
            with closing(OneStage(started.bootstrap_servers, runs, prefix)) as service:
                made = Variant(name, environment, health, service, process)
                for _ in range(5):  # The first tasks open connections.
                    service.wait(service.send(service.task()))
                yield made
        finally:
            process.terminate()
            process.wait(60)


def ratios(of: list[float], against: list[float]) -> dict[str, float]:
    """The ratio of neighbouring rounds: its median, and its quartiles as the spread."""
    found = [one / other for one, other in zip(of, against, strict=True)]
    low, _, high = statistics.quantiles(found, n=4) if len(found) > 1 else found * 3
    return {"ratio": round(statistics.median(found), 3), "from": round(low, 3), "to": round(high, 3)}


def undisturbed_ms(one: Variant) -> float:
    """From one task to the next, milliseconds: the upper end of the fastest fifth."""
    return statistics.quantiles(one.cycles_ms, n=5)[0]


def measure(rounds: int, tasks: int) -> dict[str, Any]:
    """All variants in turns."""
    with TemporaryDirectory() as name, collectors() as (dead, silent), ExitStack() as services:
        folder = Path(name)
        settings = LocalSettings(state_dir=folder / "state", jars_dir=LocalSettings().jars)
        services.callback(lambda: stack.down(settings, purge=True))
        environments = {
            "off": {"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_TRACES_SAMPLER": "always_off"},
            "tenth": RATIO,
            HEALTHY: {},
            "dead": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{dead}"},
            "silent": {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent}"},
        }
        variants = {
            name: services.enter_context(variant(name, settings, environment, folder))
            for name, environment in environments.items()
        }
        for number in range(rounds):
            order = list(variants.values())
            for one in order if number % 2 == 0 else reversed(order):
                one.round(tasks)
        spans = {name: one.spans() for name, one in variants.items()}
        ends = {name: one.stop(10) for name, one in variants.items()}
    rates = {name: one.rates for name, one in variants.items()}
    figures: dict[str, Any] = {"rounds": rounds, "tasks_a_round": tasks, "task_s": TASK_S}
    for name, against, target in (
        (HEALTHY, "off", OVERHEAD),
        ("tenth", "off", OVERHEAD),
        ("dead", HEALTHY, AWAY),
        ("silent", HEALTHY, AWAY),
    ):
        found = ratios(rates[name], rates[against])
        fastest = round(undisturbed_ms(variants[against]) / undisturbed_ms(variants[name]), 3)
        figures[f"{name} / {against}"] = {**found, "undisturbed": fastest, "target": target, "met": fastest >= target}
    # The same code twice would have this spread: the rounds of one variant against their own neighbours.
    figures["noise"] = ratios(rates["off"][1:], rates["off"][:-1])
    figures["tasks_a_second"] = {name: round(statistics.median(values), 2) for name, values in rates.items()}
    figures["undisturbed_ms"] = {name: round(undisturbed_ms(one), 1) for name, one in variants.items()}
    figures["cpu_ms_a_task"] = {name: round(statistics.median(one.cpu_ms), 1) for name, one in variants.items()}
    figures["spans"] = spans
    figures["shutdown_s"] = {name: round(seconds, 2) for name, seconds in ends.items()}
    added = max(ends.values()) - ends["off"]
    figures["shutdown"] = {"added_s": round(added, 2), "target_s": SHUTDOWN_S, "met": added <= SHUTDOWN_S}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--json")
    options = parser.parse_args()
    emit("tracing", measure(options.rounds, options.tasks))


if __name__ == "__main__":
    main()
