"""Tasks are spread evenly for every assignment of partitions."""

import math

from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.process.routing import RoundRobin, stride


@given(st.integers(1, 300))
def test_stride_visits_every_partition(partitions: int) -> None:
    step = stride(partitions)
    assert math.gcd(step, partitions) == 1
    assert {n * step % partitions for n in range(partitions)} == set(range(partitions))


@given(st.integers(0, 1 << 16), st.sampled_from([4, 8, 16, 48]))
def test_any_run_of_tasks_is_spread_evenly(start: int, partitions: int) -> None:
    route = RoundRobin(start)
    chosen = [route.choose("topic", partitions) for _ in range(3 * partitions)]
    assert {chosen.count(p) for p in range(partitions)} == {3}


def test_burst_reaches_both_owners_of_halves_and_of_alternate_partitions() -> None:
    route = RoundRobin(0)
    burst = [route.choose("topic", 16) for _ in range(4)]
    assert len({p < 8 for p in burst}) == 2
    assert len({p % 2 for p in burst}) == 2


def test_each_topic_has_its_own_counter() -> None:
    route = RoundRobin(0)
    assert route.choose("a", 16) == route.choose("b", 16)
