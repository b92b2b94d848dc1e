"""KEDA's part between zero and one, the thresholds, and the order in which replicas are removed."""

import pytest

from bench.autoscale.deletion_order import BUSY_COST, Pod, removal_order
from bench.autoscale.hpa import Limits
from bench.autoscale.keda import Offsets, Trigger
from bench.autoscale.scaled_object import ScaledObject, Scaling, lag_threshold

TRIGGER = Trigger(lag_threshold=2, offset_reset_policy="earliest", limit_to_partitions_with_lag=True)


def waiting(lag: int, partitions: int = 8) -> dict[int, Offsets]:
    shares = [lag // partitions + (number < lag % partitions) for number in range(partitions)]
    return {number: Offsets(share, 0) for number, share in enumerate(shares)}


def test_the_first_replica_comes_at_once_and_the_others_by_the_hpa() -> None:
    scaled = ScaledObject(Scaling(TRIGGER, Limits(8), to_zero=True))
    counts, replicas = [], 0
    for turn in range(4):
        replicas, _ = scaled.step(turn * 15.0, replicas, waiting(40))
        counts.append(replicas)
    assert counts == [1, 5, 8, 8]


def test_zero_follows_the_cooldown_from_any_number_and_past_the_window() -> None:
    scaled = ScaledObject(Scaling(TRIGGER, Limits(8), to_zero=True, cooldown_s=60))
    assert scaled.step(0, 8, waiting(40))[0] == 8
    assert scaled.step(15, 8, waiting(0))[0] == 8
    assert scaled.step(60, 8, waiting(0))[0] == 8
    assert scaled.step(61, 8, waiting(0))[0] == 0


def test_a_record_in_work_keeps_the_last_replica() -> None:
    scaled = ScaledObject(Scaling(TRIGGER, Limits(8), to_zero=True, cooldown_s=0))
    assert scaled.step(0, 1, waiting(1))[0] == 1
    assert scaled.step(900, 1, waiting(1))[0] == 1


def test_a_workload_without_zero_never_has_less_than_its_minimum() -> None:
    scaled = ScaledObject(Scaling(TRIGGER, Limits(8, min_replicas=2)))
    assert scaled.step(0, 0, waiting(0))[0] == 2
    assert scaled.step(10_000, 2, waiting(0))[0] == 2


def test_a_workload_that_was_scaled_by_hand_goes_to_zero_at_once() -> None:
    assert ScaledObject(Scaling(TRIGGER, Limits(8), to_zero=True)).step(0, 3, waiting(0))[0] == 0


@pytest.mark.parametrize(
    ("target_wait_s", "slots", "task_s", "threshold"), [(120, 1, 60, 2), (60, 2, 15, 8), (10, 1, 60, 1)]
)
def test_threshold(target_wait_s: float, slots: int, task_s: float, threshold: int) -> None:
    assert lag_threshold(target_wait_s, slots, task_s) == threshold


def test_removal_order() -> None:
    pods = [
        Pod("old", 0, 5),
        Pod("young", 50, 55),
        Pod("busy", 60, 65, BUSY_COST),
        Pod("ready late", 10, 58),
        Pod("starting", 2, None),
    ]
    assert [pod.name for pod in removal_order(pods)] == ["starting", "ready late", "young", "old", "busy"]
