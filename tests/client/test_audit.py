"""The audit of renders: rows from job records, whatever order the events arrive in."""

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.client import JobState
from shared.client.audit import AuditFilter, Totals, audit, row_of, rows_of
from shared.client.connection import Connection
from shared.client.errors import TopicMissing
from shared.client.topic_log import Window
from shared.messages.events import AnyEvent
from shared.messages.numbers import MAX_NUMBER
from shared.runtime.settings import RuntimeSettings
from tests.client.events import event
from tests.client.services import Services

DAY_MS = 86_400_000
FIRST = 1_800_000_000_000 // DAY_MS * DAY_MS
"""Midnight of 2027-01-15, UTC."""
FILE = {"key": "k", "sha256": "0" * 64, "size": 1}
DONE = {
    "video": FILE, "poster": FILE, "duration_s": 9.5, "duration_asked_s": 12.0, "width": 512, "height": 512, "fps": 25,
    "engine": "sonic", "container_drift_ms": 4.0, "audio_drift_ms": 140, "quality": 0.8, "gpu_seconds": 31.5,
    "seconds": {"audio": 0.5, "face": 0.25, "infer": 32.0, "encode": 2.0}, "total_s": 40.0,
}  # fmt: skip
OF = {"submitted_ms": FIRST, "department": "sales", "owner_hash": "k1:00112233aabbccdd", "consent": "form:17",
      "trace_id": "ab" * 16}  # fmt: skip
LIFE = [
    event("accepted", time_ms=FIRST + 10, engine="sonic", **OF),
    event("started", time_ms=FIRST + 20, stage="audio"),
    event("finished", time_ms=FIRST + 30, stage="audio", seconds=0.5),
    event("started", time_ms=FIRST + 40, stage="infer"),
    event("retrying", time_ms=FIRST + 50, stage="infer", code="OUT_OF_MEMORY", message="m", tier="10s", due_ms=1,
          next_attempt=2, attempt=1),
    event("started", time_ms=FIRST + 60, stage="infer", attempt=2),
    event("done", time_ms=FIRST + 90, **OF, **DONE),
]  # fmt: skip


def state(events: list[AnyEvent], job: str = "j") -> JobState:
    made = JobState(job)
    for one in events:
        made.apply(one)
    return made


def test_a_done_job_has_every_column() -> None:
    row = row_of(state(LIFE))
    assert row.as_json() == {
        "date": "2027-01-15", "job_id": "j", "tenant": "default", "department": "sales",
        "owner_hash": "k1:00112233aabbccdd", "consent": "form:17", "engine": "sonic", "outcome": "done", "code": None,
        "duration_asked_s": 12.0, "duration_s": 9.5, "audio_s": 0.5, "face_s": 0.25, "infer_s": 32.0, "encode_s": 2.0,
        "gpu_s": 31.5, "drift_ms": 140, "quality": 0.8, "attempts": 5, "replays": 0, "trace_id": "ab" * 16,
        "submitted_ms": FIRST,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("last", "outcome", "code"),
    [
        (event("rejected", stage="audio", code="NO_FACE", message="m"), "rejected", "NO_FACE"),
        (event("failed", stage="infer", code="CANCELLED", message="m"), "cancelled", "CANCELLED"),
        (event("failed", stage="infer", code="EXPIRED", message="m"), "expired", "EXPIRED"),
        (event("failed", stage="infer", code="CRASH_LOOP", message="m"), "failed", "CRASH_LOOP"),
        (event("started", stage="infer"), "running", None),
    ],
)
def test_outcomes_are_those_of_the_render_span(last: AnyEvent, outcome: str, code: str | None) -> None:
    row = row_of(state([*LIFE[:-1], last]))
    assert (row.outcome, row.code) == (outcome, code)


@given(st.permutations(LIFE), st.lists(st.sampled_from(LIFE), max_size=4))
def test_order_and_repetition_of_events_change_no_figure(order: list[AnyEvent], again: list[AnyEvent]) -> None:
    wanted, got = row_of(state(LIFE)).as_json(), row_of(state([*order, *again])).as_json()
    assert {**got, "attempts": 0} == {**wanted, "attempts": 0}, "attempts after the end are not counted"


def test_events_of_an_earlier_version_make_a_row() -> None:
    old = {**DONE}
    del old["gpu_seconds"]
    row = row_of(state([event("done", time_ms=FIRST + DAY_MS, **old)]))
    assert (row.date, row.department, row.owner_hash, row.gpu_s) == ("2027-01-16", None, None, None)


@pytest.mark.parametrize("ms", [MAX_NUMBER, -MAX_NUMBER])
def test_an_event_with_an_absurd_time_ends_no_audit(ms: int) -> None:
    for fields in ({"time_ms": ms}, {"time_ms": FIRST, "submitted_ms": ms}):
        rows = rows_of([state([event("accepted", engine="puppet", **fields)])], AuditFilter())
        assert len(rows) <= 1
        assert rows_of([state(LIFE, "other")], AuditFilter(date(2027, 1, 15)))


class Recorded:
    """A record of a partition, with the broker's time."""

    def __init__(self, partition: int, time_ms: int) -> None:
        self._partition, self._time_ms = partition, time_ms

    def partition(self) -> int:
        return self._partition

    def timestamp(self) -> tuple[int, int]:
        return 2, self._time_ms

    def headers(self) -> list[tuple[str, bytes]]:
        return []

    def value(self) -> bytes:
        return b""


DAY = date(2027, 1, 15)


@pytest.mark.parametrize(
    ("records", "cut", "has_deleted", "first_day", "is_complete"),
    [
        ({0: FIRST, 1: FIRST}, (), False, DAY, True),
        ({0: FIRST - 1, 1: FIRST}, (0,), False, DAY, True),
        ({0: FIRST - 1, 1: FIRST}, (1,), False, DAY, False),
        ({0: FIRST - 1, 1: FIRST - 1}, (0, 1), False, DAY, True),
        ({0: FIRST - 1}, (0, 1), False, DAY, False),
        ({0: FIRST}, (), True, DAY, True),
        ({0: FIRST}, (), True, date(2020, 1, 1), False),
        ({0: FIRST}, (), True, None, False),
        ({0: FIRST}, (), False, None, True),
    ],
)
def test_an_audit_is_complete_when_every_partition_was_read_back_to_the_first_day(
    monkeypatch: pytest.MonkeyPatch, records: dict[int, int], cut: tuple[int, ...], has_deleted: bool,
    first_day: date | None, is_complete: bool,
) -> None:  # fmt: skip
    read = [Recorded(partition, time_ms) for partition, time_ms in records.items()]
    window = Window(dict.fromkeys(range(2), 0), frozenset(cut), has_deleted)
    monkeypatch.setattr("shared.client.audit.event_log.window", lambda *_: window)
    monkeypatch.setattr("shared.client.audit.records", lambda *_: read)
    monkeypatch.setattr("shared.client.audit.time.time", lambda: (FIRST + DAY_MS) / 1000)
    deployment: Any = SimpleNamespace(topic=lambda name: name, settings=RuntimeSettings())
    assert audit(deployment, AuditFilter(first_day)).is_complete == is_complete


def test_a_client_that_may_read_one_tenant_gets_an_audit_that_is_not_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    def window(_: Any, __: int, tenant: str | None) -> Window:
        if tenant not in readable:
            raise TopicMissing(f"the topic of {tenant} does not exist")
        return Window({0: 0}, frozenset(), has_deleted=False)

    monkeypatch.setattr("shared.client.audit.event_log.window", window)
    monkeypatch.setattr("shared.client.event_log.topic_log.tenants", lambda _: ["acme", "beta"])
    monkeypatch.setattr("shared.client.audit.records", lambda *_: [Recorded(0, FIRST)])
    settings = RuntimeSettings(tenancy="topic")
    deployment: Any = SimpleNamespace(
        topic=lambda name: name, topic_of=lambda name, tenant: f"{name}.{tenant}", settings=settings
    )
    readable = {"acme"}
    assert not audit(deployment, AuditFilter()).is_complete
    assert audit(deployment, AuditFilter(tenant="acme")).is_complete
    with pytest.raises(TopicMissing, match="the topic of beta"):
        audit(deployment, AuditFilter(tenant="beta"))
    readable.clear()
    with pytest.raises(TopicMissing):
        audit(deployment, AuditFilter())


def test_a_purged_job_keeps_its_figures_and_loses_its_owner() -> None:
    row = row_of(state([*LIFE, event("purged", time_ms=FIRST + 100)]))
    assert (row.outcome, row.owner_hash, row.department, row.gpu_s) == ("done", None, "sales", 31.5)
    assert row_of(state([event("purged", time_ms=FIRST), LIFE[0]])).owner_hash is None


def jobs() -> list[JobState]:
    made = []
    for number, (department, owner) in enumerate([("sales", "k1:a"), ("sales", "k2:a"), ("film", "k1:a")]):
        base = {"submitted_ms": FIRST + number * DAY_MS, "department": department, "owner_hash": owner}
        made.append(state([event("done", f"j{number}", FIRST + 3 * DAY_MS, **base, **DONE)], f"j{number}"))
    return made


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (AuditFilter(), ["j0", "j1", "j2"]),
        (AuditFilter(department="sales"), ["j0", "j1"]),
        (AuditFilter(date(2027, 1, 15), date(2027, 1, 15)), ["j0"]),
        (AuditFilter(date(2027, 1, 16)), ["j1", "j2"]),
        (AuditFilter(last_day=date(2027, 1, 16)), ["j0", "j1"]),
        (AuditFilter(owner_hashes=("k1:a", "k2:a"), department="sales"), ["j0", "j1"]),
        (AuditFilter(owner_hashes=("k1:a",)), ["j0", "j2"]),
        (AuditFilter(tenant="acme"), []),
    ],
)
def test_rows_are_chosen_by_day_department_and_owner(wanted: AuditFilter, found: list[str]) -> None:
    assert [row.job_id for row in rows_of(reversed(jobs()), wanted)] == found, "oldest first; both days belong to it"


def test_totals_add_up() -> None:
    totals = Totals.of(rows_of([*jobs(), state(LIFE[:2])], AuditFilter()))
    assert (totals.jobs, totals.outcomes) == (4, {"done": 3, "running": 1})
    assert (totals.video_s, totals.gpu_s, totals.stage_s) == (28.5, 94.5, 3 * 34.75)


def test_the_audit_is_read_from_the_events_and_says_when_older_ones_were_left_out(
    deployment: Connection, services: Services
) -> None:
    fields: dict[str, Any] = {"submitted_ms": FIRST, "department": "sales", "labels": {"type": "progress"}}
    services.event("accepted", "a", engine="puppet", **fields)
    services.event("progress", "a", stage="audio", percent=50, done=1, total=2)
    services.event("rejected", "a", stage="audio", code="NO_FACE", message="m", **fields)
    services.event("accepted", "b", engine="puppet", submitted_ms=FIRST, department="film")
    found = audit(deployment, AuditFilter(department="sales"))
    assert found.is_complete
    assert [(row.job_id, row.outcome, row.code) for row in found.rows] == [("a", "rejected", "NO_FACE")]
    assert not audit(deployment, AuditFilter(), 1).is_complete
    assert not audit(deployment, AuditFilter(date(2000, 1, 1)), 1).is_complete
