"""Real replicas of infer under KEDA's and the HPA's rules, on the lag of a real broker: 0 -> n -> 0 for a burst.

    .venv/bin/python -m bench.autoscale.demo [--jobs 40] [--most 6] [--json FILE]      (make autoscale-demo)

Forty jobs are submitted at once, first to replicas by lag, then to a fixed number that costs at least as many replica
seconds if such a burst comes every ten minutes. Broker, object store, all stages and the puppet are real. Two cores
can't show six replicas that compute, so the videos are small, and each task also waits `GPU_S` seconds: a replica does
so while its GPU works. All times of the autoscaler are divided by `FACTOR`; a replica's start is what it takes here.
The demo starts a stack of its own and ends it.
"""

import argparse
import math
import os
import signal
import statistics
import sys
import tempfile
import time
import wave
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from bench.autoscale.broker_offsets import OffsetReader
from bench.autoscale.hpa import DEFAULT_UP, Limits, Rules
from bench.autoscale.keda import Trigger
from bench.autoscale.local_replicas import LocalReplicas
from bench.autoscale.scaled_object import POLLING_S, ScaledObject, Scaling, lag_threshold
from bench.autoscale.scenarios import DOWN
from bench.autoscale.simulation import quantile
from bench.record import emit
from shared.client import Client, event_log
from shared.local import stack
from shared.local.deployment import deployment_of
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack
from shared.messages.events import AnyEvent

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
FACTOR = 7.5
"""A task of 48 s of sonic becomes one of 6.4 s, a poll of 15 s one of 2 s."""
GPU_S = 6.0
TASK_S = 6.5
"""With the puppet's own part, seconds."""
TARGET_WAIT_S = 120 / FACTOR
VIDEO_S = 1.0
EVERY_S = 600.0
"""Assumed time between two bursts, seconds: a fixed number is paid for in between, too."""
LIMIT_S = 480.0
"""For one of the two parts, seconds."""


def shortened(rules: Rules) -> Rules:
    """The rules with their times divided; no period is below Kubernetes' second."""
    policies = tuple(replace(policy, period_s=max(1.0, policy.period_s / FACTOR)) for policy in rules.policies)
    return replace(rules, policies=policies, window_s=rules.window_s / FACTOR)


def demo_scaling(most: int) -> Scaling:
    """The chosen values of infer, with shorter times."""
    trigger = Trigger(
        lag_threshold(TARGET_WAIT_S, 1, TASK_S), offset_reset_policy="earliest", limit_to_partitions_with_lag=True
    )
    limits = Limits(most, 1, shortened(DEFAULT_UP), shortened(DOWN))
    return Scaling(trigger, limits, to_zero=True, cooldown_s=300 / FACTOR)


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass
class Part:
    """One of the two parts."""

    waits: list[float]
    """Of each job in infer's queue, seconds: from the end of face to the start of infer."""
    videos: Counter[str]
    """Done events of each job."""
    seconds: float
    """From the submission until the last replica has ended (fixed: until the last video)."""
    replica_s: float
    replicas: list[tuple[float, int, int]]
    """Second, lag and replicas at each change of the number."""
    busy_removed: int
    starts: list[float]
    """From the creation of each replica until it is ready, seconds; those that became ready."""

    def figures(self) -> dict[str, Any]:
        """For the record."""
        return {
            "wait_p50_s": round(statistics.median(self.waits), 1),
            "wait_p95_s": round(quantile(self.waits, 0.95), 1),
            "seconds": round(self.seconds, 1),
            "replica_s": round(self.replica_s, 1),
            "replicas": [[round(at, 1), lag, count] for at, lag, count in self.replicas],
            "most_replicas": max(count for _, _, count in self.replicas),
            "start_p50_s": round(statistics.median(self.starts), 1),
            "busy_replicas_removed": self.busy_removed,
            "lost": sum(count == 0 for count in self.videos.values()),
            "more_than_one_video": sum(count > 1 for count in self.videos.values()),
        }


def waits_of(events: list[AnyEvent], jobs: set[str]) -> list[float]:
    """Seconds of each job between the end of face and the first start of infer."""
    ready, started = {}, dict[str, int]()
    for event in events:
        if event.type == "finished" and event.stage == "face":
            ready[event.job_id] = event.time_ms
        elif event.type == "started" and event.stage == "infer":
            started.setdefault(event.job_id, event.time_ms)
    return [max(0, started[job] - ready[job]) / 1000 for job in jobs]


class Demo:
    """A running stack without infer, and what is done with it."""

    def __init__(self, running: Stack, client: Client, folder: Path, jobs: int) -> None:
        self._client, self._folder, self._jobs = client, folder, jobs
        settings = client.connection.settings
        self._reader = OffsetReader(settings, settings.topic("render.infer.puppet"), settings.group("infer", "puppet"))
        self._environment = {
            **os.environ,
            **running.environment(stack.credentials_of(running)),
            "LIPSTAGE_FAULTS": f"infer.work=delay={GPU_S}",
            "TMPDIR": str(folder),
            "LIPSTAGE_DRAIN_S": "60",
        }

    def run(self, control: Scaling | int) -> Part:
        """Submit the burst and wait for its videos; with an autoscaler also for the return to zero."""
        replicas = LocalReplicas(("infer", "--engine", "puppet"), self._environment, self._folder)
        try:
            if isinstance(control, int):
                replicas.scale(control)
                self._until_ready(replicas)
            return self._burst(replicas, control)
        finally:
            replicas.close()

    def _until_ready(self, replicas: LocalReplicas) -> None:
        until = time.monotonic() + LIMIT_S
        while any(replica.ready_at is None for replica in replicas.live):
            if time.monotonic() > until:
                raise TimeoutError("the replicas do not become ready")
            replicas.look()
            time.sleep(0.2)

    def _burst(self, replicas: LocalReplicas, control: Scaling | int) -> Part:
        scaled = ScaledObject(control) if isinstance(control, Scaling) else None
        start = self._client.position()
        begin = time.monotonic()
        jobs = {self._submit(seed) for seed in range(self._jobs)}
        changes: list[tuple[float, int, int]] = []
        events: list[AnyEvent] = []
        poll = begin
        while True:
            replicas.look()
            offsets = self._reader.read()
            now, count = time.monotonic(), len(replicas.live)
            lag = sum((each.end or 0) - max(0, each.committed) for each in offsets.values())
            if not changes or changes[-1][2] != count:
                changes.append((now - begin, lag, count))
                note(f"{now - begin:6.1f} s: lag {lag}, replicas {count}")
            if scaled is not None:
                replicas.scale(scaled.step(now - begin, count, offsets)[0])
            events += event_log.scan(self._client.connection, start)  # `start` advances.
            videos = Counter(dict.fromkeys(jobs, 0))
            videos.update(event.job_id for event in events if event.type == "done" and event.job_id in jobs)
            if all(videos.values()) and (scaled is None or all(r.ended_at is not None for r in replicas.all)):
                break
            if now > begin + LIMIT_S:
                raise TimeoutError(f"{sum(count == 0 for count in videos.values())} jobs are not done")
            poll += POLLING_S / FACTOR
            time.sleep(max(0.0, poll - time.monotonic()))
        end = time.monotonic()
        spans = [(replica.ended_at or end) - max(begin, replica.created_at) for replica in replicas.all]
        removed = sum(replica.was_busy for replica in replicas.all)
        starts = [replica.ready_at - replica.created_at for replica in replicas.all if replica.ready_at is not None]
        return Part(waits_of(events, jobs), videos, end - begin, sum(spans), changes, removed, starts)

    def _submit(self, seed: int) -> str:
        """A small video of a second; portrait and speech are the same, so audio and face answer from the cache."""
        params: JsonValue = {"min_resolution": 256, "seed": seed}
        spec = self._client.job_spec(SAMPLES / "portrait.png", self._folder / "speech.wav", params=params)
        return self._client.submit(spec).job_id


def make_speech(file: Path) -> None:
    """The first `VIDEO_S` seconds of the sample."""
    with wave.open(str(SAMPLES / "speech.wav")) as source, wave.open(str(file), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(int(VIDEO_S * source.getframerate())))


@contextmanager
def running(jobs: int) -> Iterator[Demo]:
    """A stack of its own whose infer stage has no replica; ended at the end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = LocalSettings(state_dir=folder / "state", jars_dir=LocalSettings().jars)
        try:
            started = stack.up(settings, scale={"infer": 0}, note=note)
            make_speech(folder / "speech.wav")
            with Client(deployment_of(started), service_name="bench") as client:
                client.check()
                yield Demo(started, client, folder, jobs)
        finally:
            stack.down(settings, purge=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--most", type=int, default=6, help="maxReplicas")
    parser.add_argument("--json")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # So that everything is ended.
    with running(options.jobs) as demo:
        note(f"{options.jobs} jobs, replicas by lag")
        by_lag = demo.run(demo_scaling(options.most))
        count = math.ceil(by_lag.replica_s / EVERY_S)
        note(f"{options.jobs} jobs, {count} replicas")
        fixed = demo.run(count)
    figures = {"jobs": options.jobs, "by_lag": by_lag.figures(), "fixed": {"count": count, **fixed.figures()}}
    emit("autoscale_demo", figures)
    if any(part.figures()[fault] for part in (by_lag, fixed) for fault in ("lost", "more_than_one_video")):
        raise SystemExit("a job has no video, or more than one")


if __name__ == "__main__":
    main()
