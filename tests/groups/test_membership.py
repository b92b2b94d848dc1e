"""Members that join, leave, are restarted, killed and frozen: no record is lost, in either group protocol.

Tests that wait for time-outs run a group of each protocol side by side.
"""

import signal

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from bench.group import Group, Place


def assert_nothing_lost(made: Group, sent: list[Place], repeated: int = 0) -> None:
    """Every record is finished and committed; at most ``repeated`` starts are repetitions.

    A machine that is too busy for a member's heartbeats makes the broker throw it out: what it worked on is then
    repeated where nothing else would be.
    """
    made.wait_for_end(sent)
    starts = made.starts()
    assert set(starts) == set(sent)
    if not repeated and made.of("lost"):
        repeated = len(sent)
    assert starts.total() - len(sent) <= repeated, [place for place, count in starts.items() if count > 1]
    # Members commit when they leave.
    assert [member.terminate() for member in made.members if member.process.poll() is None].count(0) >= 1
    ends = {partition: max(offset + 1 for p, offset in sent if p == partition) for partition, _ in sent}
    assert made.committed().items() >= ends.items()


def first_start(made: Group, place: Place) -> str:
    """The member that works on the record, once one does."""
    made.wait(lambda: any(event.place == place for event in made.of("start")), f"the start of {place}")
    return next(event.member for event in made.of("start") if event.place == place)


def test_joins_and_leaves_lose_and_repeat_nothing(groups: list[Group]) -> None:
    sent = [made.send(0.1, list(range(8)) * 12) for made in groups]
    for made in groups:
        made.member()
        made.member(slots=2)
    for made in groups:
        made.wait_for_assignment(2)
        made.member()
    for made in groups:
        made.wait_for_assignment(3)
        assert made.members[0].terminate() == 0
    for made, places in zip(groups, sent, strict=True):
        made.wait_for_assignment(2)
        assert_nothing_lost(made, places)


def test_rolling_restart_loses_and_repeats_nothing(groups: list[Group]) -> None:
    for made in groups:
        made.member(), made.member()
    for made in groups:
        made.wait_for_assignment(2)
    sent = [made.send(0.1, list(range(8)) * 12) for made in groups]
    for number in range(2):
        for made in groups:
            made.member()
        for made in groups:
            made.wait_for_assignment(3)
            assert made.members[number].terminate() == 0
    for made, places in zip(groups, sent, strict=True):
        made.wait_for_assignment(2)
        assert_nothing_lost(made, places)


OLDER = ""
"""Commit metadata of a version before this one: none."""
NEWER = '{"v": 99, "n": "not a map", "unknown": [1]}'
"""Commit metadata of a version after this one, which this one can't read."""


def test_two_versions_side_by_side_lose_and_repeat_nothing(groups: list[Group]) -> None:
    """An upgrade from an older version, one to a newer version, and a roll-back: the partitions move between members
    that read each other's commit metadata."""
    sent: list[list[Place]] = [[] for _ in groups]
    for made in groups:
        made.member(metadata=OLDER)
    for number, metadata in enumerate((None, NEWER, None), 1):
        for made in groups:
            made.wait_for_assignment(1)
            made.member(metadata=metadata)
        for made, places in zip(groups, sent, strict=True):
            made.wait_for_assignment(2)
            places += made.send(0.05, list(range(8)) * 2)
        for made, places in zip(groups, sent, strict=True):
            made.wait_for_end(places)
            assert {f"m{number - 1}", f"m{number}"} <= {event.member for event in made.of("end")}, "both have worked"
            places += made.send(0.05, list(range(8)) * 2)
            assert made.members[number - 1].terminate() == 0
    for made, places in zip(groups, sent, strict=True):
        assert_nothing_lost(made, places)


def lengthen_session(made: Group) -> None:
    """To 30 s, in which a process starts on a busy machine too. Before the first member."""
    if made.protocol == "classic":
        made.properties = {**made.properties, "session.timeout.ms": "30000"}
        return
    entry = ConfigEntry("consumer.session.timeout.ms", "30000", incremental_operation=AlterConfigOpType.SET)
    group = ConfigResource(ConfigResource.Type.GROUP, made.name, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": made.bootstrap_servers})
    for altered in admin.incremental_alter_configs([group]).values():
        altered.result(60)


def test_static_member_returns_to_its_partitions_without_a_rebalance(groups: list[Group]) -> None:
    """The other member keeps its partitions and takes none, although one member is away for a moment."""
    for made in groups:
        lengthen_session(made)
        made.member(properties={"group.instance.id": "pod-0"})
        made.member(properties={"group.instance.id": "pod-1"})
    for made in groups:
        made.wait_for_assignment(2)
        held, before = made.assigned(), len(made.events)
        assert made.members[0].terminate() == 0
        made.member(properties={"group.instance.id": "pod-0"})
        made.wait_for_assignment(2)
        assert made.assigned() == {"m1": held["m1"], "m2": held["m0"]}
        moves = [(e.member, e.name) for e in made.events[before:] if e.fields.get("partitions")]
        assert moves == [("m0", "revoked"), ("m2", "assigned")], "the other member keeps what it has"
        assert_nothing_lost(made, made.send(0.1, range(8)))


def test_task_longer_than_session_and_poll_interval_keeps_its_member(groups: list[Group]) -> None:
    """A frozen loop would be evicted after 6 s, one that does not poll after 7 s."""
    sent = []
    for made in groups:
        made.properties = {**made.properties, "max.poll.interval.ms": "7000"}
        made.member(), made.member()
    for made in groups:
        made.wait_for_assignment(2)
        before = len(made.events)
        sent.append((before, made.send(9, [0, 7])))
    for made, (before, places) in zip(groups, sent, strict=True):
        made.wait_for_end(places)
        assert {event.name for event in made.events[before:]}.isdisjoint({"revoked", "lost"})
        assert_nothing_lost(made, places)


def test_revocation_in_mid_task_lets_it_end_before_the_new_owner_starts(groups: list[Group]) -> None:
    sent = []
    for made in groups:
        made.member(slots=8)
        made.wait_for_assignment(1)
        # The second record of each partition waits in the topic for whoever owns it then.
        sent.append(made.send(12, range(8)))  # Until then the new member has started, on a busy machine too.
        made.wait(lambda made=made: len(made.of("start")) == 8, "eight tasks in work")  # type: ignore[misc]
        sent[-1] += made.send(0, range(8))
        made.member(slots=8)
    for made, places in zip(groups, sent, strict=True):
        made.wait_for_end(places)
        moved = {event.place[0] for event in made.of("start") if event.member == "m1"}
        assert moved, "partitions have moved to the new member"
        ends = {event.place: event.at for event in made.of("end")}
        for event in made.of("start"):
            partition, offset = event.place
            # The first member may start it as soon as any of its slots is free.
            assert event.member == "m0" or offset == 0 or event.at > ends[partition, 0], "before the last has ended"
        assert_nothing_lost(made, places)


def test_killed_member_is_replaced_and_only_its_task_is_repeated(groups: list[Group]) -> None:
    sent, victims = [], []
    for made in groups:
        made.member(), made.member()
    for made in groups:
        made.wait_for_assignment(2)
        sent.append(made.send(1, list(range(8))))
    for made, places in zip(groups, sent, strict=True):
        victims.append(first_start(made, places[0]))
        made.kill(next(member for member in made.members if member.name == victims[-1]))
    for made, places in zip(groups, sent, strict=True):
        made.wait_for_end(places)
        repeated = [place for place, count in made.starts().items() if count > 1]
        assert len(repeated) <= 2, "the running task, and one that had ended but was not committed"
        assert {event.member for event in made.of("start") if event.place in repeated} <= {"m0", "m1"}
        assert_nothing_lost(made, places, repeated=2)


def test_zombie_publishes_nothing_for_its_lost_partitions(groups: list[Group]) -> None:
    """Frozen beyond its session, then continued: its task has long been due, and another member has finished it."""
    sent = []
    for made in groups:
        made.member(output=made.output)
        made.wait_for_assignment(1)
        sent += made.send(4, [0])
        made.wait(lambda made=made: len(made.of("start")) == 1, "the start")  # type: ignore[misc]
        made.members[0].send_signal(signal.SIGSTOP)
        made.member(output=made.output)
    for made, place in zip(groups, sent, strict=True):
        made.wait_for_end([place])
        made.members[0].send_signal(signal.SIGCONT)
    for made, place in zip(groups, sent, strict=True):
        made.wait(lambda made=made: len(made.of("discarded")) == 1, "the end of the zombie's task")  # type: ignore[misc]
        assert [event.member for event in [*made.of("lost"), *made.of("discarded")]] == ["m0", "m0"]
        assert made.published() == 1
        # It is a member again, and works.
        made.wait_for_assignment(2)
        assert_nothing_lost(made, [place, *made.send(0.01, range(8))], repeated=1)
