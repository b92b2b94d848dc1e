"""Which partitions are paused: those of a full lane, once, until it is half empty, and those far ahead of a commit."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from shared.messages.lanes import BULK, INTERACTIVE, Lane
from shared.runtime.consume.owned_partition import Name
from shared.runtime.consume.pausing import Pausing

PLAIN: list[Name] = [("t", 0), ("t", 1)]
OWNED: list[Name] = [*PLAIN, ("t.bulk", 0)]


class Rig:
    """The calls of a client, and how full each lane is."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, set[Name]]] = []
        self.fill: dict[Lane, float] = {INTERACTIVE: 0.0, BULK: 0.0}
        self.ahead: dict[Name, int] = {}
        self.pausing = Pausing(self, 10)  # type: ignore[arg-type]

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.calls.append(("pause", {(p.topic, p.partition) for p in partitions}))

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.calls.append(("resume", {(p.topic, p.partition) for p in partitions}))

    def update(self, owned: list[Name] = OWNED, *, stopped: bool = False, **fill: Any) -> list[tuple[str, set[Name]]]:
        before = len(self.calls)
        self.fill |= fill  # type: ignore[typeddict-item]
        held: Any = {name: SimpleNamespace(ahead=self.ahead.get(name, 0)) for name in owned}
        self.pausing.update(held, lambda lane: self.fill[lane], stopped)
        return self.calls[before:]


def test_full_lane_is_paused_once_and_resumed_when_half_empty() -> None:
    rig = Rig()
    assert rig.update(bulk=0.9) == []
    assert rig.update(bulk=1.0) == [("pause", {("t.bulk", 0)})]
    assert rig.update(bulk=0.5) == []
    assert rig.update(bulk=0.49) == [("resume", {("t.bulk", 0)})]
    assert rig.update(bulk=0.9) == []


def test_lanes_are_paused_by_themselves() -> None:
    rig = Rig()
    assert rig.update(bulk=1.2, interactive=1.0) == [("pause", set(OWNED))]
    assert rig.update(interactive=0.0) == [("resume", set(PLAIN))]


def test_partition_that_comes_to_a_full_lane_is_paused_and_one_that_leaves_is_forgotten() -> None:
    rig = Rig()
    rig.update(bulk=1.0)
    rig.pausing.forget(("t.bulk", 0))
    assert rig.update(PLAIN) == []
    assert rig.update([*PLAIN, ("t.bulk", 7)]) == [("pause", {("t.bulk", 7)})]
    rig.pausing.forget(("t.bulk", 7))  # Assigned again: the client has resumed it.
    assert rig.update([*PLAIN, ("t.bulk", 7)]) == [("pause", {("t.bulk", 7)})]


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_everything_is_paused_when_no_more_records_are_taken(fill: float) -> None:
    rig = Rig()
    assert rig.update(stopped=True, interactive=fill, bulk=fill) == [("pause", set(OWNED))]


def test_partition_far_ahead_of_its_first_unsettled_record_is_paused_alone() -> None:
    """What is settled ahead would be delivered again: one record that waits must not let that grow without limit."""
    rig = Rig()
    rig.ahead = {("t", 1): 9}
    assert rig.update() == []
    rig.ahead = {("t", 1): 10}
    assert rig.update() == [("pause", {("t", 1)})]
    rig.ahead = {("t", 1): 5}
    assert rig.update() == []
    rig.ahead = {("t", 1): 4}
    assert rig.update() == [("resume", {("t", 1)})]
