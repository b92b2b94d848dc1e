"""Views of real groups, and routing by them: owners, lags, a reader that dies, members of different speed."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.group import WAIT_S, Group
from shared.messages.pipeline import PIPELINE, step
from shared.runtime.process.group_views import GroupView, GroupViews, groups_of
from shared.runtime.process.least_loaded import LeastLoaded, open_router
from shared.runtime.process.routing import RoundRobin
from shared.runtime.settings import RuntimeSettings


@contextmanager
def views_of(made: Group, group_name: str = "") -> Iterator[GroupViews]:
    """Views of a group, refreshed until the end."""
    settings = RuntimeSettings(bootstrap_servers=made.bootstrap_servers)
    views, stop = GroupViews(settings, {made.topic: group_name or made.name}), threading.Event()
    thread = threading.Thread(target=views.run, args=(stop,))
    thread.start()
    try:
        yield views
    finally:
        stop.set()
        thread.join(WAIT_S)
        assert not thread.is_alive()


def next_view(views: GroupViews, topic: str) -> GroupView:
    """A view that is read from now on."""
    now, turn = time.monotonic(), threading.Event()
    while time.monotonic() < now + WAIT_S:
        view = views.of(topic)
        if view is not None and view.read_at >= now:
            return view
        turn.wait(0.02)
    raise AssertionError("no view")


def owned_by_view(view: GroupView) -> set[frozenset[int]]:
    """The partitions of each owner."""
    return {frozenset(p for p, o in view.owners.items() if o == owner) for owner in view.owners.values()}


def test_view_has_owners_and_the_records_in_work(groups: list[Group], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.runtime.process.group_views.REFRESH_S", 0.1)
    for made in groups:
        done = made.send(0, [0])
        made.member(), made.member()
        made.wait_for_assignment(2)
        made.wait_for_end(done)
        with views_of(made) as views:
            next_view(views, made.topic)
            busy = made.send(4, [0, 0, 5])
            made.wait(lambda made=made: len(made.of("start")) == 3, "two records in work")  # type: ignore[misc]
            view = next_view(views, made.topic)
            assert owned_by_view(view) == {frozenset(partitions) for partitions in made.assigned().values()}
            assert view.lags == {p: {0: 2, 5: 1}.get(p, 0) for p in range(8)}
            made.wait_for_end(busy)
            made.members[0].terminate()
            made.wait_for_assignment(1)
            view = next_view(views, made.topic)
            assert owned_by_view(view) == {frozenset(range(8))}
            assert set(view.lags.values()) == {0}


def test_group_that_does_not_exist_has_no_owners(groups: list[Group]) -> None:
    with views_of(groups[0], "no-such-group") as views:
        assert next_view(views, groups[0].topic).owners == {}


def test_reader_that_dies_is_started_again(groups: list[Group], monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the admin client aborts."""
    monkeypatch.setattr("shared.runtime.process.group_views.LONGEST_PAUSE_S", 0.1)
    with views_of(groups[0]) as views:
        next_view(views, groups[0].topic)
        first = views._process
        assert first is not None
        os.kill(first.pid, signal.SIGABRT)
        next_view(views, groups[0].topic)
        assert views._process is not first


def test_reader_that_hangs_is_killed(groups: list[Group], monkeypatch: pytest.MonkeyPatch) -> None:
    with views_of(groups[0]) as views:
        next_view(views, groups[0].topic)
        monkeypatch.setattr("shared.runtime.process.group_views.ANSWER_S", 0.5)
        first = views._process
        assert first is not None
        os.kill(first.pid, signal.SIGSTOP)
        assert first.wait(WAIT_S) == -signal.SIGKILL


def test_members_of_different_speed_get_work_by_their_speed(
    groups: list[Group], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two members take 0.2 s for a task, one takes 0.8 s: round-robin would give it a third of the tasks."""
    monkeypatch.setattr("shared.runtime.process.group_views.REFRESH_S", 0.2)
    made = groups[0]
    for pace in (1.0, 1.0, 4.0):
        made.member(pace=pace)
    made.wait_for_assignment(3)
    with views_of(made) as views:
        router = LeastLoaded(views.of)
        next_view(views, made.topic)
        sent = []
        for count in range(1, 61):
            sent += made.send(0.2, [router.choose(made.topic, made.partitions)])
            # Three tasks are in the group at a time, as when the stage before it is as fast.
            made.wait(lambda count=count: len(made.ended()) >= count - 3, "progress")  # type: ignore[misc]
        made.wait_for_end(sent)
    done = Counter(event.member for event in made.of("end"))
    assert sum(done.values()) == 60, "none is lost, none is done twice"
    assert done["m2"] < min(done["m0"], done["m1"]), done
    assert done["m2"] <= 15, done


def test_router_follows_the_setting_and_the_next_steps() -> None:
    router, views = open_router(RuntimeSettings(routing="round-robin"), step("face"))
    assert (type(router), views) == (RoundRobin, None)
    router, views = open_router(RuntimeSettings(), None)
    assert (type(router), views) == (RoundRobin, None), "after the last stage nothing is sent"
    router, views = open_router(RuntimeSettings(), step("face"))
    assert type(router) is LeastLoaded
    assert views is not None


def test_every_engine_has_a_group_of_its_own() -> None:
    settings = RuntimeSettings(engines=("puppet", "sonic"), topic_prefix="x.")
    assert groups_of(settings, step("infer"), None) == {
        "x.render.infer.puppet": "x.lipstage.infer.puppet",
        "x.render.infer.puppet.bulk": "x.lipstage.infer.puppet",
        "x.render.infer.sonic": "x.lipstage.infer.sonic",
        "x.render.infer.sonic.bulk": "x.lipstage.infer.sonic",
    }
    assert len(groups_of(settings, *PIPELINE)) == 10
