"""Rules of KEDA's Kafka scaler, each with an example, and properties that hold for all offsets."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.autoscale.keda import InvalidTrigger, KafkaScaler, Offsets, Reading, Trigger, even_replicas


def poll(partitions: Mapping[int, Offsets], **settings: object) -> Reading:
    return KafkaScaler(Trigger(**settings)).poll(partitions)  # type: ignore[arg-type]


def lagging(*lags: int) -> dict[int, Offsets]:
    return {number: Offsets(100 + lag, 100) for number, lag in enumerate(lags)}


EARLIEST = {"offset_reset_policy": "earliest"}


@pytest.mark.parametrize(
    ("partitions", "settings", "metric", "active"),
    [
        pytest.param(lagging(0, 0), {}, 0, False, id="nothing waits"),
        pytest.param(lagging(3, 4), {}, 7, True, id="end of the log minus committed offset"),
        pytest.param({0: Offsets(0)}, {}, 1, True, id="latest without an offset: 1, on an empty topic too"),
        pytest.param({0: Offsets(0)}, EARLIEST, 0, False, id="earliest without an offset, empty topic"),
        pytest.param({0: Offsets(9)}, EARLIEST, 9, True, id="earliest without an offset: all, expired ones too"),
        pytest.param(
            {0: Offsets(5)},
            {**EARLIEST, "scale_to_zero_on_invalid_offset": True},
            0,
            False,
            id="invalid offset as zero",
        ),
        pytest.param({0: Offsets(5)}, {"scale_to_zero_on_invalid_offset": True}, 0, False, id="the same with latest"),
        pytest.param({0: Offsets(10, 12)}, {}, -2, False, id="committed beyond the end: negative"),
        pytest.param({0: Offsets(10, 12), 1: Offsets(3, 1)}, {}, 0, False, id="it hides the lag of others"),
        pytest.param({0: Offsets(None, 3), 1: Offsets(5, 3)}, {}, 2, True, id="partition missing from the answer"),
        pytest.param(lagging(5), {"activation_lag_threshold": 5}, 5, False, id="activation needs more"),
        pytest.param(lagging(6), {"activation_lag_threshold": 5}, 6, True, id="activation"),
        pytest.param(lagging(100, 0), {"lag_threshold": 10}, 20, True, id="capped at the partitions"),
        pytest.param(
            lagging(100, 0), {"lag_threshold": 10, "allow_idle_consumers": True}, 100, True, id="idle consumers allowed"
        ),
        pytest.param(
            lagging(100, 0), {"lag_threshold": 10, "limit_to_partitions_with_lag": True}, 10, True, id="busy partitions"
        ),
        pytest.param(
            lagging(3, 0),
            {"lag_threshold": 2, "limit_to_partitions_with_lag": True},
            3,
            True,
            id="the cap divides whole numbers: 3 // 2 is not above 1, the HPA makes 2",
        ),
        pytest.param(
            lagging(4, 0, 0, 0, 0, 0),
            {"lag_threshold": 1, "ensure_even_distribution_of_partitions": True},
            6,
            True,
            id="4 replicas don't divide 6 partitions",
        ),
        pytest.param(
            lagging(*[0] * 6),
            {"lag_threshold": 2, "ensure_even_distribution_of_partitions": True},
            2,
            False,
            id="even distribution asks for one replica without lag",
        ),
    ],
)
def test_rule(partitions: dict[int, Offsets], settings: dict[str, object], metric: int, active: bool) -> None:
    reading = poll(partitions, **settings)
    assert (reading.metric, reading.active) == (metric, active)


def test_persistent_lag_is_hidden_from_the_hpa_but_keeps_the_workload_active() -> None:
    scaler = KafkaScaler(Trigger(exclude_persistent_lag=True))
    assert scaler.poll(lagging(5)).metric == 5
    unmoved = scaler.poll(lagging(5))
    assert (unmoved.metric, unmoved.active) == (0, True)
    assert scaler.poll({0: Offsets(105, 101)}).metric == 4


def test_without_the_setting_an_unmoved_offset_counts() -> None:
    scaler = KafkaScaler(Trigger())
    assert [scaler.poll(lagging(5)).metric for _ in range(3)] == [5, 5, 5]


def test_a_new_partition_counts_and_raises_the_cap() -> None:
    scaler = KafkaScaler(Trigger(lag_threshold=1, offset_reset_policy="earliest"))
    assert scaler.poll(lagging(9)).metric == 1
    assert scaler.poll({**lagging(9), 1: Offsets(4)}).metric == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"lag_threshold": 0},
        {"activation_lag_threshold": -1},
        {"limit_to_partitions_with_lag": True, "allow_idle_consumers": True},
        {"limit_to_partitions_with_lag": True, "ensure_even_distribution_of_partitions": True},
    ],
)
def test_keda_refuses_it(settings: dict[str, object]) -> None:
    with pytest.raises(InvalidTrigger):
        poll({}, **settings)


offsets = st.builds(lambda start, lag: Offsets(start + lag, start), st.integers(0, 10**6), st.integers(0, 500))
topics = st.lists(offsets, min_size=1, max_size=64).map(lambda each: dict(enumerate(each)))


@given(topics, st.integers(1, 50))
def test_the_hpa_never_gets_more_than_the_lag_nor_a_replica_more_than_partitions_and_one(
    partitions: dict[int, Offsets], threshold: int
) -> None:
    lag = sum((each.end or 0) - each.committed for each in partitions.values())
    reading = poll(partitions, lag_threshold=threshold)
    assert reading.metric <= lag
    assert reading.metric // threshold <= len(partitions)
    assert reading.active == (lag > 0)


@given(topics, st.integers(1, 50))
def test_the_limit_to_busy_partitions_only_lowers_the_metric(partitions: dict[int, Offsets], threshold: int) -> None:
    limited = poll(partitions, lag_threshold=threshold, limit_to_partitions_with_lag=True)
    assert limited.metric <= poll(partitions, lag_threshold=threshold).metric
    assert limited.metric // threshold <= sum(lag > 0 for lag in limited.lags.values())
    assert limited.active == (sum(limited.lags.values()) > 0)


@given(st.integers(0, 10_000), st.integers(1, 128), st.integers(1, 50))
def test_even_replicas_divide_the_partitions(lag: int, partitions: int, threshold: int) -> None:
    replicas = even_replicas(lag, partitions, threshold)
    assert partitions % replicas == 0
    assert replicas * threshold >= lag or replicas == partitions
