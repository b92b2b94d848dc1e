"""A day of requests through simulated stages, each with an autoscaler or a fixed number of replicas."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from bench.autoscale.events import Events
from bench.autoscale.scaled_object import POLLING_S, ScaledObject, Scaling
from bench.autoscale.simulated_stage import SimulatedStage, Task
from bench.autoscale.tasks import StageWork
from bench.autoscale.traffic import DAY_S, Job

Control = Scaling | int
"""An autoscaler, or the fixed number of replicas."""
DRAIN_S = 100.0


@dataclass
class StageResult:
    """What one stage did."""

    waits: list[float] = field(default_factory=list)
    """Of each job in the stage's queue, seconds."""
    replicas: list[tuple[float, int]] = field(default_factory=list)
    """Time, and replicas that exist then, ending ones included; one entry for each poll."""
    hours: float = 0.0
    """Replica hours, from creation to end."""
    interrupted: int = 0
    created: int = 0

    @property
    def most(self) -> int:
        """Most replicas at a time."""
        return max(count for _, count in self.replicas)


@dataclass
class Result:
    """What a day gave."""

    stages: dict[str, StageResult]
    waits: list[float]
    """Seconds in queues of each job, in the order of the jobs."""
    totals: list[float]
    """Seconds from request to video of each job, in the same order."""


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share lies (0 to 1)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def simulate(
    jobs: Sequence[Job],
    stages: Sequence[StageWork],
    controls: Mapping[str, Control],
    partitions: int,
    drain_s: float = DRAIN_S,
    deletion_cost: bool = True,
) -> Result:
    """Run the jobs through the stages, one after the other; ``controls`` by the stage's name.

    Fixed replicas are ready from the start. Raises RuntimeError when a job is lost.
    """
    events = Events()
    results = {stage.name: StageResult() for stage in stages}
    finished: dict[int, float] = {}
    waited: dict[int, float] = dict.fromkeys(range(len(jobs)), 0.0)
    made: list[SimulatedStage] = []

    def passed(place: int, task: Task) -> None:
        results[stages[place].name].waits.append(task.waited_s)
        waited[task.job] += task.waited_s
        if place + 1 < len(stages):
            made[place + 1].add(Task(task.job, stages[place + 1].seconds(jobs[task.job].video_s), events.now))
        else:
            finished[task.job] = events.now

    for place, work in enumerate(stages):
        done = partial(passed, place)
        stage = SimulatedStage(events, work, partitions, drain_s, done, deletion_cost)
        made.append(stage)
        _control(events, stage, controls[work.name], results[work.name])
    for number, job in enumerate(jobs):
        task = Task(number, stages[0].seconds(job.video_s), job.at)
        events.at(job.at, partial(made[0].add, task))
    events.run(lambda: len(finished) == len(jobs) and events.now >= DAY_S)
    if len(finished) != len(jobs):
        raise RuntimeError(f"{len(jobs) - len(finished)} jobs are lost")
    for stage, result in zip(made, results.values(), strict=True):
        result.hours = stage.replica_seconds() / 3600
        result.interrupted = stage.interrupted
        result.created = len(stage.ended) + len(stage.replicas)
    order = range(len(jobs))
    return Result(results, [waited[n] for n in order], [finished[n] - jobs[n].at for n in order])


def _control(events: Events, stage: SimulatedStage, control: Control, result: StageResult) -> None:
    scaled = ScaledObject(control) if isinstance(control, Scaling) else None
    if isinstance(control, Scaling):
        stage.scale(0 if control.to_zero else control.limits.min_replicas)
    else:
        stage.scale(control)
        for replica in stage.replicas:
            replica.ready_at = 0.0
        events.at(0.0, stage.assign)

    def poll() -> None:
        result.replicas.append((events.now, len(stage.replicas)))
        if scaled is not None:
            stage.scale(scaled.step(events.now, stage.count, stage.offsets())[0])
        events.at(events.now + POLLING_S, poll)

    events.at(0.0, poll)


def summary(result: Result, stage: str) -> dict[str, float | int]:
    """Figures of a day with respect to one stage; times in seconds."""
    one = result.stages[stage]
    return {
        "wait_p50_s": round(statistics.median(one.waits), 1),
        "wait_p95_s": round(quantile(one.waits, 0.95), 1),
        "wait_max_s": round(max(one.waits), 1),
        "total_p50_s": round(statistics.median(result.totals), 1),
        "total_p95_s": round(quantile(result.totals, 0.95), 1),
        "most_replicas": one.most,
        "replica_hours": round(one.hours, 1),
        "starts": one.created,
        "interrupted": one.interrupted,
    }
