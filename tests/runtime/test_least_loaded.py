"""The choice of a partition by the load of its owner; views are given, nothing is contacted."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.process.group_views import GroupView
from shared.runtime.process.least_loaded import IN_FLIGHT_S, MAX_AGE_S, LeastLoaded
from shared.runtime.process.routing import RoundRobin

TOPIC = "render.infer.puppet"


class Rig:
    """A router with a clock and a view that the test sets."""

    def __init__(self, owners: dict[int, str], lags: dict[int, int] | None = None, start: int = 0) -> None:
        self.now = 100.0
        self.view: GroupView | None = None
        self.router = LeastLoaded(
            lambda topic: self.view if topic == TOPIC else None, RoundRobin(start), lambda: self.now
        )
        self.see(owners, lags)

    def see(self, owners: dict[int, str], lags: dict[int, int] | None = None) -> None:
        self.view = GroupView(owners, lags or {}, self.now)

    def choose(self, partitions: int = 8) -> int:
        return self.router.choose(TOPIC, partitions)


def thirds(partitions: int = 8) -> dict[int, str]:
    """Three owners, of which one has fewer partitions."""
    return {p: "abc"[p % 3] for p in range(partitions)}


def test_empty_partition_of_a_busy_owner_is_not_free() -> None:
    rig = Rig({0: "a", 1: "a", 2: "b", 3: "b"}, {0: 1})
    assert rig.choose(4) in (2, 3)


def test_empty_partition_of_the_owner_is_preferred() -> None:
    rig = Rig({0: "a", 1: "a", 2: "b", 3: "b"}, {0: 3, 1: 3, 2: 1})
    assert rig.choose(4) == 3


def test_interactive_task_avoids_an_owner_that_works_on_a_bulk_task_and_ignores_its_backlog() -> None:
    owners = {0: "a", 1: "b"}
    views = {TOPIC: GroupView(owners, {0: 0, 1: 1}, 100.0), f"{TOPIC}.bulk": GroupView(owners, {0: 500}, 100.0)}
    router = LeastLoaded(views.get, RoundRobin(0), lambda: 100.0)
    assert {router.choose(TOPIC, 2), router.choose(TOPIC, 2)} == {0, 1}, "one each: a bulk backlog counts as one task"
    views[TOPIC] = GroupView(owners, {}, 100.0)
    assert LeastLoaded(views.get, RoundRobin(0), lambda: 100.0).choose(TOPIC, 2) == 1
    assert LeastLoaded(views.get, RoundRobin(1), lambda: 100.0).choose(TOPIC, 2) == 1


def test_bulk_task_goes_to_the_owner_with_the_least_of_both_lanes() -> None:
    owners = {0: "a", 1: "b"}
    views = {TOPIC: GroupView(owners, {0: 9}, 100.0), f"{TOPIC}.bulk": GroupView(owners, {0: 0, 1: 8}, 100.0)}
    assert LeastLoaded(views.get, RoundRobin(0), lambda: 100.0).choose(f"{TOPIC}.bulk", 2) == 1
    assert LeastLoaded(views.get, RoundRobin(1), lambda: 100.0).choose(f"{TOPIC}.bulk", 2) == 1


@given(st.integers(0, 1 << 16))
def test_burst_gives_every_owner_the_same_however_many_partitions_it_has(start: int) -> None:
    rig = Rig(thirds(), start=start)
    chosen = Counter(thirds()[rig.choose()] for _ in range(30))
    assert chosen == {"a": 10, "b": 10, "c": 10}


def test_backlog_is_levelled_before_others_get_tasks() -> None:
    rig = Rig({0: "a", 1: "b"}, {0: 3})
    assert [rig.choose(2) for _ in range(3)] == [1, 1, 1]


def test_free_owner_of_one_partition_does_not_get_a_whole_burst() -> None:
    """As while many owners join: the first of them own one partition each, and the old owner's queue is long."""
    owners = dict.fromkeys(range(7), "old") | {7: "new"}
    rig = Rig(owners, dict.fromkeys(range(7), 4))
    chosen = Counter(rig.choose() for _ in range(24))
    assert chosen[7] == 12, "one and a half times the mean of 6.5, and two"


def test_own_sends_count_until_a_view_has_them() -> None:
    rig = Rig({0: "a", 1: "b"})
    first = rig.choose(2)
    rig.now += 1
    assert rig.choose(2) == 1 - first, "sent after the view was read"
    rig.now += 1
    rig.see({0: "a", 1: "b"}, {first: 0, 1 - first: 1})
    assert [rig.choose(2), rig.choose(2)].count(first) == 1 + ([0, 1].count(first) == 0)


def test_send_just_before_a_view_counts() -> None:
    rig = Rig({0: "a", 1: "b"})
    first = rig.choose(2)
    rig.now += IN_FLIGHT_S / 2
    rig.see({0: "a", 1: "b"})
    assert rig.choose(2) == 1 - first


def test_partition_without_an_owner_is_avoided() -> None:
    rig = Rig({0: "a", 3: "b"}, {0: 5, 3: 5})
    assert {rig.choose() for _ in range(16)} == {0, 3}


def test_partition_that_the_view_does_not_know_yet_is_avoided() -> None:
    rig = Rig(thirds(4))
    assert max(rig.choose(16) for _ in range(32)) < 4


def test_partition_beyond_the_topic_is_never_chosen() -> None:
    """A topic that was deleted and created again with fewer partitions."""
    rig = Rig({0: "a", 1: "a", 6: "b", 7: "b"}, {0: 9})
    assert [rig.choose(2) for _ in range(8)] == [1] * 8


def round_robin(partitions: int, count: int, start: int = 0) -> list[int]:
    route = RoundRobin(start)
    return [route.choose(TOPIC, partitions) for _ in range(count)]


def test_without_a_view_the_choice_is_round_robin() -> None:
    rig = Rig({})
    rig.view = None
    assert [rig.choose() for _ in range(8)] == round_robin(8, 8)


def test_group_without_members_gets_round_robin() -> None:
    rig = Rig({}, {0: 9})
    assert [rig.choose() for _ in range(8)] == round_robin(8, 8)


def test_old_view_is_not_used() -> None:
    rig = Rig({0: "a"})
    rig.now += MAX_AGE_S
    assert [rig.choose() for _ in range(3)] == [0, 0, 0]
    rig.now += 0.1
    assert sorted(rig.choose() for _ in range(8)) == list(range(8))


def test_equal_owners_are_visited_in_the_order_of_round_robin() -> None:
    rig = Rig({p: f"m{p}" for p in range(8)}, start=3)
    assert [rig.choose() for _ in range(8)] == round_robin(8, 8, 3)
