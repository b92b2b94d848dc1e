"""The watchdog, the answers as a client reads them, and the projection in the local stack; without a broker."""

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from shared.client.job_key import JobKey
from shared.client.projection import Projection, ProjectionCalls, ProjectionUnavailable
from shared.local import services, stack_file
from shared.local.errors import StackError
from shared.local.settings import LocalSettings
from stages.gateway.projection import http_server
from stages.gateway.projection.completeness import Completeness
from stages.gateway.projection.group_progress import StallDetector
from stages.gateway.projection.http_server import HttpServer
from tests.projection.events import DONE
from tests.projection.test_table import Rig, of

PLACE = ("render.events", 0)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_only_a_group_that_commits_nothing_while_records_wait_is_stalled() -> None:
    clock = Clock()
    stall = StallDetector(60, clock)
    for committed, end, now in ((5, 5, 0), (5, 9, 50), (6, 9, 109), (6, 9, 168)):
        clock.now = now
        assert stall.stalled({PLACE: committed}, {PLACE: end}) is None
    clock.now = 169
    assert stall.stalled({PLACE: 6}, {PLACE: 9}) == "3 records wait, and none was committed for 60 s"
    stall.reset()
    assert stall.stalled({PLACE: 6}, {PLACE: 9}) is None
    assert stall.stalled({PLACE: 9}, {PLACE: 9}, joined=False) is None
    clock.now += 60
    assert stall.stalled({PLACE: 9}, {PLACE: 9}, joined=False) == "the consumer group has not been joined for 60 s"
    clock.now = 1000
    assert stall.stalled({PLACE: 9}, {PLACE: 9}) is None


@contextmanager
def serving(rig: Rig) -> Iterator[str]:
    """The answers over HTTP, in a thread."""
    loop = asyncio.new_event_loop()
    server = HttpServer(rig.answers)
    port = loop.run_until_complete(server.start("127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def connected(url: str) -> socket.socket:
    """A connection on which nothing has been sent."""
    return socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=5)


def test_a_client_reads_pages_jobs_and_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    rig.fold(*(of("accepted", job_id=f"j{number:04}", engine="puppet", time_ms=number + 1) for number in range(2500)))
    rig.fold(of("done", **DONE | {"job_id": "j0007"}))
    with serving(rig) as url:
        asked = Projection(url)
        found = asked.jobs()
        assert [job.job_id for job in found] == [f"j{number:04}" for number in reversed(range(2500))]
        assert len(asked.jobs(limit=1001)) == 1001
        assert [job.status for job in asked.jobs(statuses=["done"])] == ["done"]
        one = asked.job(JobKey("default", "j0007"))
        assert one is not None and one.terminal_event is not None
        assert asked.job(JobKey("default", "a/b?c")) is None
        jobs, complete_since_ms = asked.started_jobs(since_ms=2401)
        assert (len(jobs), complete_since_ms) == (100, 0)
        with pytest.raises(ProjectionUnavailable, match="is none of"):
            asked.jobs(statuses=["sleeping"])
        with pytest.raises(ProjectionUnavailable, match="404"):
            asked.get("/v2/jobs")
        rig.not_ready = "12 records are still to be read"
        notes: list[str] = []
        calls = ProjectionCalls(url, notes.append)
        assert calls.jobs() is None
        assert calls.job(JobKey("default", "j0007")) is None
        assert len(notes) == 1 and "12 records" in notes[0]
        rig.not_ready = None
        assert calls.jobs() is None, "not asked at every call"
        monkeypatch.setattr("shared.client.projection.AWAY_S", 0.0)
        calls = ProjectionCalls(url, notes.append)
        rig.not_ready = "it starts"
        assert calls.jobs() is None
        rig.not_ready = None
        assert calls.jobs(limit=1) is not None, "asked again"
    assert ProjectionCalls("", notes.append).jobs() is None


def test_a_client_that_sends_half_a_head_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HEAD_S", 0.2)
    with serving(Rig()) as url, connected(url) as half:
        half.sendall(b"GET /v1/jobs HTTP/1.1\r\nHos")
        assert half.recv(1) == b""
        with connected(url) as whole:
            whole.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: h\r\n\r\n")
            answer = b"".join(iter(partial(whole.recv, 1024), b""))
        assert answer.endswith(b'{"jobs": [], "next": null}'), "then the connection ends: its next head has no limit"


def test_connections_above_the_cap_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(http_server, "HEAD_S", 1.0)
    with serving(Rig()) as url:
        with connected(url), connected(url), connected(url) as third:
            assert third.recv(1) == b""
        until = time.monotonic() + 10
        while (jobs := ProjectionCalls(url, lambda _: None).jobs()) is None and time.monotonic() < until:
            pass
        assert jobs == [], "there is room again"


def test_the_local_stack_runs_one_when_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIPSTAGE_PROJECTION_URL", raising=False)
    settings = LocalSettings(state_dir=tmp_path)
    stack = stack_file.fresh(settings.state)
    assert "projection" not in [record.stage for record in services.records(settings, stack, {})]
    stack.services = services.records(settings, stack, {"projection": 1})
    record = stack.services[-1]
    program = services.program(settings, stack, record)
    assert program.argv == (sys.executable, "-P", "-m", "stages.gateway.projection")
    assert program.env["LIPSTAGE_PROJECTION_PORT"] == str(record.port)
    assert stack.environment(None)["LIPSTAGE_PROJECTION_URL"] == f"http://127.0.0.1:{record.port}"
    assert services.records(settings, stack, {"projection": 1})[-1].port == record.port
    monkeypatch.setenv("LIPSTAGE_PROJECTION_URL", "http://elsewhere:1")
    assert stack.environment(None)["LIPSTAGE_PROJECTION_URL"] == "http://elsewhere:1"


def test_a_scale_that_it_cannot_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    services.check_scale({"projection": 1})
    with pytest.raises(StackError, match="0 or 1"):
        services.check_scale({"projection": 2})
    monkeypatch.setitem(services.extras.MODULES, "projection", ("no_such_module",))
    with pytest.raises(StackError, match="no_such_module is not installed: run `make setup-projection`"):
        services.check_scale({"projection": 1})
    services.check_scale({"projection": 0})


def test_it_is_ready_when_it_owns_all_and_has_read_what_was_there() -> None:
    known, both = Completeness(broker_answers=True), {("render.events", 0), ("render.events", 1)}
    ends = dict.fromkeys(both, 10)
    assert known.reason() == "the consumer group has not been joined"
    known.assigned(both)
    known.looked(dict.fromkeys(both, 10), ends, 1)
    assert known.reason() == "the states of the jobs are being read"
    known.states_read(known.generation)
    known.looked({**ends, PLACE: 4}, ends, 2)
    assert (known.lag, known.reason()) == (6, "6 records are still to be read")
    known.looked(ends, dict.fromkeys(both, 99), 3)
    assert known.reason() is None, "what comes later does not make it unready"
    known.revoked({PLACE})
    assert "another replica reads 1 of 2" in (known.reason() or "")
    known.assigned(both)
    assert known.reason() == "the states of the jobs are being read", "the other replica has written some"
    known.missing_topics = ["render.jobs"]
    assert "missing topics: render.jobs" in (known.reason() or "")


def test_a_rebalance_that_takes_nothing_away_reads_nothing_again() -> None:
    known = Completeness(broker_answers=True)
    known.assigned({PLACE})
    known.states_read(known.generation)
    known.assigned({PLACE})
    assert known.loaded


def test_states_that_were_read_before_the_group_was_joined_may_lack_what_another_replica_wrote() -> None:
    known = Completeness(broker_answers=True)
    known.states_read(known.generation)
    known.assigned({PLACE})
    assert not known.loaded
