"""A job put together from events, and shown: on lines, in a summary, as a tree."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cli import console, job_views, tree
from shared.cli.errors import ADVICE, advice
from shared.cli.events import Job, shares
from shared.cli.history import gather
from shared.cli.job_state import JobState
from shared.cli.progress import Lines
from shared.local.trace_store import StoredSpan
from shared.messages.codes import Code
from shared.messages.events import EVENT, AnyEvent, Failed, RejectedEvent


def event(kind: str, job: str = "j", at: int = 1000, **fields: Any) -> AnyEvent:
    base = {"type": kind, "job_id": job, "tenant": "default", "request_id": "r", "time_ms": at}
    return EVENT.validate_python(base | fields)


def test_progress_never_goes_back_and_the_end_is_final() -> None:
    job = JobState("j")
    for one in (
        event("accepted", engine="puppet"),
        event("started", stage="infer"),
        event("progress", stage="infer", percent=60, done=6, total=10),
        event("progress", stage="infer", percent=30, done=3, total=10),
    ):
        job.apply(one)
    assert (job.status, job.current, job.stages["infer"].percent) == ("running", "infer", 60)
    job.apply(event("finished", stage="infer", seconds=2.5))
    job.apply(event("progress", stage="infer", percent=90, done=9, total=10))
    assert (job.stages["infer"].state, job.stages["infer"].percent) == ("finished", 100.0)
    job.apply(event("failed", stage="encode", code="CANCELLED", message="m"))
    job.apply(event("started", stage="encode"))
    assert job.status == "cancelled"
    assert isinstance(job.end, Failed)


def test_a_conflict_ends_nothing() -> None:
    job = JobState("j")
    job.apply(event("accepted", engine="puppet"))
    job.apply(event("conflict", message="taken"))
    assert job.status == "accepted"
    assert job.conflicts == ["r"]


def test_a_second_attempt_starts_over() -> None:
    job = JobState("j")
    job.apply(event("progress", stage="infer", percent=80, done=8, total=10))
    job.apply(event("started", stage="infer", attempt=2))
    job.apply(event("progress", stage="infer", attempt=2, percent=90, done=9, total=10))
    assert (job.stages["infer"].attempt, job.stages["infer"].percent) == (2, 90)


def waiting(**fields: Any) -> AnyEvent:
    return event("waiting", stage="face", code="NO_SPACE", message="1 MiB is free", **fields)


def test_a_job_waits_until_its_next_event() -> None:
    job = JobState("j")
    job.apply(waiting())
    assert (job.status, job.current, job.stages["face"].waits) == ("waiting", "face", "NO_SPACE")
    assert job.as_json()["waiting"] == {"stage": "face", "code": "NO_SPACE", "message": "1 MiB is free"}
    job.apply(event("conflict", message="taken"))
    assert job.status == "waiting", "another request's fate is no news of this job"
    job.apply(event("started", stage="face"))
    assert (job.status, job.stages["face"].waits, job.as_json()["waiting"]) == ("running", "", None)
    job.apply(waiting())
    job.apply(event("failed", stage="face", code="CANCELLED", message="m"))
    assert (job.status, job.waiting) == ("cancelled", None)
    job.apply(waiting())
    assert job.status == "cancelled"


def test_a_request_that_waits_at_the_front_is_queued_again_afterwards() -> None:
    job = JobState("j")
    job.apply(event("waiting", stage="audio", code="STORE_UNAVAILABLE", message="m"))
    job.apply(event("accepted", engine="puppet"))
    assert job.status == "accepted"


def test_a_job_that_waits_is_shown_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = JobState("j")
    for one in (event("accepted", engine="puppet"), waiting()):
        job.apply(one)
    monkeypatch.setattr("shared.cli.job_views.connect", lambda: None)
    monkeypatch.setattr("shared.cli.job_views.history.looked_up", lambda *_: job)
    monkeypatch.setattr("shared.cli.job_views.history.recent", lambda *_: [job])
    job_views.show("j", "default", 1, False)
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["status", "waiting", "NO_SPACE"] in shown
    assert ["face", "waiting:", "NO_SPACE"] in shown
    assert ["reason", "NO_SPACE", "in", "face:", "1", "MiB", "is", "free"] in shown
    job_views.list_jobs(1, 1, False)
    assert capsys.readouterr().out.splitlines()[-1].split()[1:6] == ["waiting", "NO_SPACE", "default", "face", "puppet"]


def test_jobs_newest_first() -> None:
    found = gather([event("accepted", "old", 1, engine="puppet"), event("accepted", "new", 9, engine="puppet")])
    assert [job.job_id for job in found] == ["new", "old"]


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    shown, job = Lines(), JobState("j")
    for one in (
        event("started", stage="face"),
        event("progress", stage="face", percent=10, done=1, total=10),
        event("progress", stage="face", percent=50, done=5, total=10),
        event("progress", stage="face", percent=60, done=6, total=10),
        event("warning", stage="face", code="MULTIPLE_FACES", message="two"),
        waiting(),
        event("finished", stage="face", seconds=0.5, cached=True),
    ):
        job.apply(one)
        shown.show(one, job)
    assert capsys.readouterr().err.splitlines() == [
        "face started",
        "face 50 % (5 of 10)",
        "warning MULTIPLE_FACES: two",
        "face waits: NO_SPACE: 1 MiB is free",
        "face finished in 0.50 s, from the cache",
    ]


def test_every_code_that_can_end_a_job_has_advice() -> None:
    warnings = {"NON_OPTIMAL_STEPS", "MULTIPLE_FACES", "LOW_CONFIDENCE_FACE", "STRONG_POSE", "LOW_RESOLUTION"}
    warnings |= {"OCCLUDED_MOUTH", "SILENT_AUDIO", "NO_SPEECH", "NOISY_AUDIO", "DURATION_CORRECTED"}
    assert set(ADVICE) == {code for code in Code if code not in warnings} - {Code.INTERNAL}
    assert advice("A_CODE_OF_TOMORROW") is None


def test_unknown_fields_of_later_versions_are_read() -> None:
    one = event("rejected", stage="audio", code="AUDIO_EMPTY", message="m", later=1)
    assert isinstance(one, RejectedEvent)


@given(st.lists(st.integers(0, 1000), max_size=20), st.integers(0, 5000))
def test_a_bounded_read_takes_no_more_than_it_may_and_leaves_nothing_that_it_could(sizes: list[int], most: int) -> None:
    parts = shares(sizes, most)
    assert sum(parts) == min(sum(sizes), most)
    assert all(0 <= part <= size for part, size in zip(parts, sizes, strict=True))


def test_what_small_partitions_leave_over_goes_to_the_large() -> None:
    assert shares([1000, 2, 1000, 0], 402) == [200, 2, 200, 0]


def test_two_tenants_jobs_of_one_id_are_two() -> None:
    found = gather([event("accepted", "j", 1, engine="puppet"), event("started", "j", 9, tenant="acme", stage="face")])
    assert [(job.tenant, job.status) for job in found] == [("acme", "running"), ("default", "accepted")]


def test_an_event_is_a_jobs_own_by_tenant_and_id() -> None:
    value = event("accepted", "j", engine="puppet").model_dump_json().encode()
    assert Job("default", "j").event(b"j", value) is not None
    assert Job("acme", "j").event(b"j", value) is None
    assert Job("default", "k").event(b"j", value) is None
    assert Job("default", "k").event(b"k", value) is None, "a key that lies"
    assert Job("default", "j").event(None, value) is None
    assert Job("default", "j").event(b"j", b"{}") is None


def span(name: str, span_id: str, parent: str, start: float, end: float, error: str | None = None) -> StoredSpan:
    return StoredSpan(
        "t", span_id, parent, name, "audio", "internal", int(start * 1e9), int(end * 1e9), {}, [], [], error
    )


def test_tree_of_a_trace() -> None:
    spans = [
        span("process render.requests", "b", "a", 1.2, 1.9),
        span("submit render.requests", "a", "", 1.0, 1.2),
        span("load_audio", "c", "b", 1.3, 1.31, error="no samples"),
        span("send render.face", "d", "b", 1.8, 1.9),
    ]
    shown = [console.line(parts) for parts in tree.lines(spans)]
    assert [line.split()[0] for line in shown[:2]] == ["0.000", "0.200"]
    assert "  submit render.requests" in shown[0]
    assert "700 ms  └─ process render.requests" in shown[1]
    assert "10 ms     ├─ load_audio" in shown[2]
    assert "ERROR no samples" in shown[2]
    assert shown[2].startswith("\x1b[31m"), "red; console.say drops the colour off a terminal"
    assert "   └─ send render.face" in shown[3]


def test_a_trace_is_whole_with_its_summary_and_all_parents() -> None:
    root, child = span("submit render.requests", "a", "", 0, 1), span("render", "b", "a", 0, 1)
    assert tree.whole([root, child])
    assert not tree.whole([root])
    assert not tree.whole([child])
