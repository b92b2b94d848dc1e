"""The two days, the values that the chart should have, and what is varied around them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.autoscale import traffic
from bench.autoscale.hpa import DEFAULT_DOWN, DEFAULT_UP, Limits, Policy, Rules
from bench.autoscale.keda import Trigger
from bench.autoscale.scaled_object import Scaling, lag_threshold
from bench.autoscale.simulation import Control
from bench.autoscale.tasks import PIPELINES, SONIC, StageWork

MEAN_VIDEO_S = 11.3
"""Of `traffic.day`, seconds."""
SEED = 1
DOWN = Rules((Policy("Percent", 10, 60), Policy("Pods", 1, 60)), window_s=300)
"""A tenth of the replicas, at least one, a minute, after five minutes with less lag."""


@dataclass(frozen=True)
class Day:
    """A day's requests and the partitions that carry them."""

    name: str
    jobs: list[traffic.Job]
    partitions: int


def days() -> list[Day]:
    """The small and the large day."""
    return [
        Day("2000 videos", traffic.day(2000, SEED), 16),
        Day("20 000 videos with batches", traffic.day(20_000, SEED, bursts=True), 64),
    ]


def threshold(work: StageWork) -> int:
    """The stage's ``lagThreshold``."""
    return lag_threshold(work.target_wait_s, work.slots, work.seconds(MEAN_VIDEO_S))


def scaling(work: StageWork, partitions: int) -> Scaling:
    """The chosen values of a stage: infer goes to zero and starts no replica for a partition without lag."""
    infer = work.name.startswith("infer")
    trigger = Trigger(threshold(work), offset_reset_policy="earliest", limit_to_partitions_with_lag=infer)
    return Scaling(trigger, Limits(partitions, 1, DEFAULT_UP, DOWN), to_zero=infer, cooldown_s=300)


def controls(engine: str, partitions: int, infer: Control | None = None) -> dict[str, Control]:
    """The chosen values of all stages; ``infer`` replaces those of infer."""
    chosen: dict[str, Control] = {work.name: scaling(work, partitions) for work in PIPELINES[engine]}
    return chosen if infer is None else {**chosen, f"infer.{engine}": infer}


@dataclass(frozen=True)
class Variant:
    """One row of the sweep."""

    name: str
    scaling: Scaling
    deletion_cost: bool = True


def variants(partitions: int) -> Iterator[Variant]:
    """The chosen values of infer.sonic, then each with one difference."""
    chosen = scaling(SONIC, partitions)
    yield Variant("as chosen", chosen)
    for lag in (1, 3, 5, 10):
        yield Variant(f"lagThreshold {lag}", replace(chosen, trigger=replace(chosen.trigger, lag_threshold=lag)))
    for cooldown_s in (60, 900):
        yield Variant(f"cooldownPeriod {cooldown_s}", replace(chosen, cooldown_s=cooldown_s))
    always = replace(chosen, to_zero=False)
    yield Variant("minReplicas 1", always)
    idle = replace(chosen.trigger, limit_to_partitions_with_lag=False)
    yield Variant("limitToPartitionsWithLag false", replace(chosen, trigger=idle))
    for name, up, down in (
        ("up 2 pods in 60 s", Rules((Policy("Pods", 2, 60),)), DOWN),
        ("down 1 pod in 60 s", DEFAULT_UP, Rules((Policy("Pods", 1, 60),), window_s=300)),
        ("down 1 pod in 120 s", DEFAULT_UP, Rules((Policy("Pods", 1, 120),), window_s=300)),
        ("down at once after 300 s", DEFAULT_UP, DEFAULT_DOWN),
        ("down after 60 s", DEFAULT_UP, replace(DOWN, window_s=60)),
    ):
        yield Variant(name, replace(chosen, limits=Limits(partitions, 1, up, down)))
    yield Variant("busy replicas not marked", chosen, deletion_cost=False)
