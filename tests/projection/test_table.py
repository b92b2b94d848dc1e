"""Questions on many jobs: pages, windows, stuck jobs, eviction; without a broker."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.client.job_fold import JobRecord
from shared.messages.topics import DAY_MS
from shared.runtime.consume.assignment import Record
from stages.gateway.projection.answers import Answers, BadQuery, NotKnown, NotReady
from stages.gateway.projection.job_table import JobTable, Selection
from stages.gateway.projection.projector import MAX_RECORD_BYTES, Projector
from stages.gateway.projection.settings import ProjectionSettings
from stages.gateway.projection.statistics import success_rate, summary
from stages.gateway.projection.stuck import GRACE_S, stage_limit_s
from tests.projection.events import DONE, event

REQUESTS = "render.requests"
NOW_MS = 100 * DAY_MS


def record(value: bytes | None, topic: str = "render.events", offset: int = 0) -> Record:
    return Record(topic, 0, offset, b"j", value, (), NOW_MS)


def of(kind: str, **fields: Any) -> Record:
    return record(event(kind, **fields).model_dump_json().encode())


class Rig:
    def __init__(self) -> None:
        self.table = JobTable()
        self.projector = Projector(self.table, REQUESTS)
        self.not_ready: str | None = None
        self.answers = Answers(
            self.table,
            ProjectionSettings(),
            lambda: {"not_ready": self.not_ready, "complete_since_ms": 0},
            lambda: NOW_MS,
        )

    def fold(self, *records: Record) -> Any:
        return self.projector.fold(records)


@pytest.fixture
def rig() -> Iterator[Rig]:
    yield Rig()


def ids(answer: bytes) -> list[str]:
    return [one["state"]["job_id"] for one in json.loads(answer)["jobs"]]


@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["a", "b"])), max_size=30), st.integers(1, 7))
def test_pages_hold_every_job_once_newest_first(jobs: list[tuple[int, str]], size: int) -> None:
    rig = Rig()
    rig.fold(*(of("accepted", job_id=f"j{number}", tenant=tenant, time_ms=ms, engine="puppet")
               for number, (ms, tenant) in enumerate(jobs)))  # fmt: skip
    for tenant in (None, "a"):
        query, found = ({} if tenant is None else {"tenant": tenant}) | {"limit": str(size)}, list[str]()
        while True:
            answer = rig.answers.jobs(query)
            found += ids(answer)
            after = json.loads(answer)["next"]
            if after is None:
                break
            query |= {"after": after}
        expected = sorted(
            ((ms, f"j{number}", one) for number, (ms, one) in enumerate(jobs) if tenant in (None, one)), reverse=True
        )
        assert found == [job_id for _, job_id, _ in expected]
    between = ids(rig.answers.jobs({"since_ms": "2", "until_ms": "4"}))
    assert sorted(between) == sorted(f"j{number}" for number, (ms, _) in enumerate(jobs) if 2 <= ms < 4)


@given(st.lists(st.one_of(st.binary(max_size=40), st.none(), st.recursive(st.none() | st.integers() | st.text(),
       lambda one: st.lists(one) | st.dictionaries(st.sampled_from(["type", "job_id", "time_ms"]), one)).map(
       lambda value: json.dumps(value).encode())), max_size=8))  # fmt: skip
def test_no_value_stops_the_fold(values: list[bytes | None]) -> None:
    rig = Rig()
    folded = rig.fold(*map(record, values), of("accepted", engine="puppet"))
    assert len(folded.refused) + folded.unknown == len(values)
    assert ids(rig.answers.jobs({})) == ["j"]
    assert all(reason.code == "POISON" for _, reason in folded.refused)


def test_a_bug_of_the_fold_refuses_its_record_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.client import job_fold

    apply = job_fold.apply

    def broken(state: Any, one: Any) -> Any:
        if one.type == "started":
            raise ZeroDivisionError
        return apply(state, one)

    monkeypatch.setattr(job_fold, "apply", broken)
    folded = rig.fold(of("accepted", engine="puppet"), of("started", stage="face"), of("warning", stage="face",
                      code="SILENT_AUDIO", message="m"))  # fmt: skip
    assert [(reason.code, reason.exception) for _, reason in folded.refused] == [("INTERNAL", "ZeroDivisionError")]
    assert len(folded.changed) == 1


def test_a_state_that_grows_too_large_keeps_its_last_form(rig: Rig) -> None:
    rig.fold(of("accepted", engine="puppet"))
    folded = rig.fold(of("started", stage="face", labels={"name": "x" * MAX_RECORD_BYTES}))
    assert folded.changed == {}
    assert ids(rig.answers.jobs({"status": "accepted"})) == ["j"]


def test_a_request_is_a_queued_job_until_its_first_event_and_after_it_nothing(rig: Rig) -> None:
    request = record(b'{"job_id": "j", "labels": {"name": "anna"}}', REQUESTS)
    rig.fold(request)
    row = next(iter(rig.table))
    assert (row.status, row.first_ms, row.record.from_request) == ("queued", NOW_MS, True)
    assert ids(rig.answers.jobs({"from_request": "no"})) == []
    rig.fold(of("accepted", engine="puppet", time_ms=5))
    rig.fold(request)
    row = next(iter(rig.table))
    assert (row.status, row.first_ms, row.record.from_request) == ("accepted", 5, False)


def test_a_batch_is_complete_when_all_its_jobs_have_ended(rig: Rig) -> None:
    def job(number: int, kind: str, **fields: Any) -> Record:
        return of(kind, job_id=f"j{number}", batch={"id": "b", "index": number, "total": 2}, **fields)

    rig.fold(job(0, "done", **DONE))
    assert json.loads(rig.answers.batch("default", "b"))["complete"] is False
    rig.fold(job(1, "rejected", stage="face", code="NO_FACE", message="m"))
    answer = json.loads(rig.answers.batch("default", "b"))
    assert (answer["complete"], answer["counts"]) == (True, {"done": 1, "rejected": 1})
    with pytest.raises(NotKnown):
        rig.answers.batch("acme", "b")


def test_windows_have_rates_and_durations_by_engine_and_tenant(rig: Rig) -> None:
    hour = 3_600_000
    rig.fold(
        of("done", **DONE | {"job_id": "a", "time_ms": 10 * hour}),
        of("done", **DONE | {"job_id": "b", "time_ms": 10 * hour + 1, "total_s": 9.5}),
        of("accepted", job_id="c", engine="puppet", time_ms=9 * hour),
        of("failed", job_id="c", stage="infer", code="INTERNAL", message="m", time_ms=10 * hour + 2),
        of("failed", job_id="d", stage="infer", code="CANCELLED", message="m", time_ms=10 * hour + 3),
        of("failed", job_id="e", stage="infer", code="EXPIRED", message="m", time_ms=11 * hour, tenant="acme"),
        of("accepted", job_id="f", engine="puppet", time_ms=10 * hour),
    )
    asked = {"from_ms": str(10 * hour), "to_ms": str(12 * hour)}
    by_tenant = json.loads(rig.answers.statistics(asked | {"by": "tenant"}))["windows"]
    assert [(one["start_ms"] // hour, one["tenant"], one["outcomes"], one["success_rate"]) for one in by_tenant] == [
        (10, "default", {"done": 2, "failed": 1, "cancelled": 1}, 2 / 3),
        (11, "acme", {"expired": 1}, 0.0),
    ]
    assert by_tenant[0]["total_s"] == {"count": 2, "mean": 6.5, "p50": 3.5, "p95": 9.5, "max": 9.5}
    assert by_tenant[0]["stages"]["infer"]["mean"] == 2.0
    by_engine = json.loads(rig.answers.statistics(asked | {"by": "engine"}))["windows"]
    assert {(one["engine"], one["ended"]) for one in by_engine} == {("puppet", 3), ("", 1)} | {("", 1)}
    assert len(json.loads(rig.answers.statistics(asked | {"by": ""}))["windows"]) == 2


def test_rates_and_summaries_of_nothing() -> None:
    assert success_rate({"rejected": 3, "cancelled": 1}) is None
    assert summary([]) is None


def test_stuck_jobs_are_silent_for_longer_than_their_stage_may_take(rig: Rig) -> None:
    face, infer = stage_limit_s("face", "puppet"), stage_limit_s("infer", "puppet")
    assert face is not None and infer is not None and face < infer
    silent_ms = NOW_MS - int((face + GRACE_S) * 1000) - 1

    def started(job_id: str, stage: str, ms: int = silent_ms) -> list[Record]:
        return [of("accepted", job_id=job_id, engine="puppet", time_ms=1),
                of("started", job_id=job_id, stage=stage, time_ms=ms)]  # fmt: skip

    retry = {"stage": "face", "code": "INTERNAL", "message": "m", "tier": "10m", "next_attempt": 2}
    rig.fold(
        *started("silent", "face"),
        *started("busy", "infer"),
        *started("fresh", "face", silent_ms + 2),
        *started("ended", "face"),
        of("failed", job_id="ended", stage="face", code="INTERNAL", message="m", time_ms=silent_ms),
        of("retrying", job_id="retries", time_ms=1, due_ms=NOW_MS - 1000, **retry),
        of("retrying", job_id="overdue", time_ms=1, due_ms=silent_ms - 1, **retry),
        of("accepted", job_id="waits", engine="puppet", time_ms=NOW_MS - 3_600_001),
        of("conflict", job_id="refused", message="m"),
    )
    found = json.loads(rig.answers.stuck({}))
    assert [one["job_id"] for one in found["jobs"]] == ["waits", "overdue", "silent"]
    assert found["jobs"][2]["limit_s"] == face + GRACE_S
    assert json.loads(rig.answers.stuck({"limit": "1"}))["more"] is True


def test_old_jobs_and_the_oldest_ended_ones_are_forgotten(rig: Rig) -> None:
    rig.fold(*(of("accepted", job_id=f"running{number}", engine="puppet", time_ms=10 + number) for number in range(3)))
    rig.fold(*(of("rejected", job_id=f"ended{number}", stage="face", code="NO_FACE", message="m",
                  time_ms=20 + number) for number in range(3)))  # fmt: skip
    rig.fold(of("accepted", job_id="ancient", engine="puppet", time_ms=1))
    rig.fold(of("conflict", job_id="refused", message="m"))
    assert [key.job_id for key in rig.table.evict(5, 100)] == ["ancient"]
    assert rig.table.complete_since_ms(5, 100) == 5
    assert rig.table.complete_since_ms(5, 7) == 20, "an ended job may be missing that is as old as the oldest one"
    assert [key.job_id for key in rig.table.evict(5, 4)] == ["refused", "ended0", "ended1"]
    assert rig.table.complete_since_ms(5, 4) == 22
    for row in list(rig.table):
        rig.table.remove(row.key)
    assert rig.table.complete_since_ms(5, 4) == 22, "what was forgotten is missing also when there is room again"


def test_nothing_is_answered_before_the_table_is_complete(rig: Rig) -> None:
    rig.not_ready = "12 records are still to be read"
    with pytest.raises(NotReady, match="12 records"):
        rig.answers.jobs({})
    assert b"12 records" in rig.answers.position()


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"status": "sleeping"}, {"after": "x"}, {"after": "[1]"},
     {"after": '["1", "j", "t"]'}, {"since_ms": "-1"}, {"since_ms": "9" * 30}],
)  # fmt: skip
def test_wrong_parameters_are_refused(rig: Rig, query: dict[str, str]) -> None:
    with pytest.raises(BadQuery):
        rig.answers.jobs(query)


@pytest.mark.parametrize("query", [{"by": "owner"}, {"by": "engine,engine"}, {"window_s": "1"}, {"window_s": "0"}])
def test_wrong_windows_are_refused(rig: Rig, query: dict[str, str]) -> None:
    with pytest.raises(BadQuery):
        rig.answers.statistics(query)


def test_a_row_gives_back_its_record(rig: Rig) -> None:
    rig.fold(of("done", **DONE))
    row = rig.table.newest(Selection(), 1)[0]
    assert isinstance(row.record, JobRecord)
    assert (row.outcome, row.total_s, dict(row.seconds)) == ("done", 3.5, {"audio": 0.5, "infer": 2.0})
