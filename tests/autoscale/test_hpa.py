"""Rules of the HorizontalPodAutoscaler, each with an example, and properties that hold for all metrics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.autoscale.hpa import HorizontalAutoscaler, Limits, Policy, Rules, recommendation

SLOW_DOWN = Rules((Policy("Pods", 1, 60),), window_s=300)


@pytest.mark.parametrize(
    ("metric", "target", "replicas", "wanted"),
    [
        pytest.param(0, 2, 3, 0, id="nothing waits"),
        pytest.param(5, 2, 1, 3, id="rounded up"),
        pytest.param(21, 2, 10, 10, id="5 per cent above: tolerated"),
        pytest.param(23, 2, 10, 12, id="more"),
        pytest.param(17, 2, 10, 9, id="less"),
        pytest.param(-4, 2, 1, 0, id="never negative"),
    ],
)
def test_recommendation(metric: int, target: int, replicas: int, wanted: int) -> None:
    assert recommendation(metric, target, replicas) == wanted


def test_at_zero_replicas_the_autoscaler_does_nothing() -> None:
    assert HorizontalAutoscaler(Limits(10)).sync(0, 0, 100, 1) == 0


def test_bounds_come_before_the_metric() -> None:
    assert HorizontalAutoscaler(Limits(4)).sync(0, 9, 100, 1) == 4
    assert HorizontalAutoscaler(Limits(9, 3)).sync(0, 1, 100, 1) == 3


def test_default_behaviour_adds_four_or_doubles_in_fifteen_seconds() -> None:
    scaler = HorizontalAutoscaler(Limits(100))
    assert [scaler.sync(now, n, 1000, 1) for now, n in ((0, 1), (5, 5), (15, 5), (30, 10))] == [5, 5, 10, 20]


def test_the_smallest_change_is_chosen_with_min() -> None:
    up = Rules((Policy("Pods", 4, 15), Policy("Percent", 10, 15)), select="Min")
    assert HorizontalAutoscaler(Limits(100, up=up)).sync(0, 10, 1000, 1) == 11


@pytest.mark.parametrize("rules", ["up", "down"])
def test_a_direction_can_be_disabled(rules: str) -> None:
    disabled = {rules: Rules((), select="Disabled")}
    scaler = HorizontalAutoscaler(Limits(100, **disabled))  # type: ignore[arg-type]
    assert scaler.sync(0, 10, 1000 if rules == "up" else 0, 1) == 10


def test_scale_down_waits_for_the_highest_of_the_window() -> None:
    scaler = HorizontalAutoscaler(Limits(10, down=SLOW_DOWN))
    assert scaler.sync(0, 5, 5, 1) == 5
    assert scaler.sync(299, 5, 1, 1) == 5
    assert scaler.sync(301, 5, 1, 1) == 4
    assert scaler.sync(330, 4, 1, 1) == 4, "one pod in 60 seconds"
    assert scaler.sync(362, 4, 1, 1) == 3


def test_scale_up_waits_for_the_lowest_of_its_window() -> None:
    up = Rules((Policy("Pods", 10, 15),), window_s=60)
    scaler = HorizontalAutoscaler(Limits(10, up=up))
    assert scaler.sync(0, 1, 1, 1) == 1
    assert scaler.sync(30, 1, 6, 1) == 1
    assert scaler.sync(61, 1, 8, 1) == 6


def test_a_new_autoscaler_keeps_what_it_finds_for_one_window() -> None:
    scaler = HorizontalAutoscaler(Limits(10))
    assert scaler.sync(0, 6, 1, 1) == 6
    assert scaler.sync(301, 6, 1, 1) == 1


def test_pods_removed_in_the_period_count_for_the_way_up() -> None:
    """The start of the period had 10 pods, so 4 more than 10 are allowed, not 4 more than 5."""
    up, down = Rules((Policy("Pods", 4, 60),)), Rules((Policy("Pods", 5, 60),))
    scaler = HorizontalAutoscaler(Limits(100, up=up, down=down))
    assert scaler.sync(0, 10, 1, 1) == 5
    assert scaler.sync(15, 5, 1000, 1) == 14


metrics = st.lists(st.integers(-5, 2000), min_size=1, max_size=80)


@given(metrics, st.integers(1, 20), st.integers(1, 30))
def test_replicas_stay_within_bounds_and_policies(values: list[int], target: int, most: int) -> None:
    up = Rules((Policy("Pods", 2, 60),))
    scaler, replicas = HorizontalAutoscaler(Limits(most, up=up, down=SLOW_DOWN)), 1
    history = []
    for turn, metric in enumerate(values):
        replicas = scaler.sync(turn * 15.0, replicas, metric, target)
        history.append(replicas)
        assert 1 <= replicas <= most
    # Four syncs are a minute: whatever rose or fell in it respects the policy.
    for before, after in zip([1, *history], history[3:], strict=False):
        assert after - before <= 2
    for before, after in zip(history, history[4:], strict=False):
        assert before - after <= 1


@given(st.integers(0, 500), st.integers(1, 20), st.integers(1, 30))
def test_a_steady_lag_reaches_a_number_that_serves_it(lag: int, target: int, most: int) -> None:
    scaler, replicas = HorizontalAutoscaler(Limits(most)), 1
    for turn in range(100):
        replicas = scaler.sync(turn * 15.0, replicas, lag, target)
    assert replicas == most or replicas * target * 1.1 >= lag
    assert replicas == 1 or (replicas - 1) * target < lag
