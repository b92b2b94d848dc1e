"""Tables and fields fit the terminal: columns are left out, ids are never cut."""

import pytest

from shared.cli import columns, console, jobs
from shared.client import JobState
from tests.client.events import event

ID = "0123456789abcdef0123456789abcdef"


def state(job_id: str, **fields: object) -> JobState:
    made = JobState(job_id)
    made.apply(event("accepted", job=job_id, engine="puppet", **fields))
    made.apply(event("rejected", job=job_id, stage="audio", code="AUDIO_UNREADABLE", message="m", **fields))
    return made


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("width", "headers"),
    [
        (60, ["JOB", "STATUS"]),
        (80, ["JOB", "STATUS", "TIME"]),
        (200, ["JOB", "STATUS", "TENANT", "STAGE", "ENGINE", "VIDEO", "TIME", "STARTED", "BATCH"]),
        (None, ["JOB", "STATUS", "TENANT", "STAGE", "ENGINE", "VIDEO", "TIME", "STARTED", "BATCH"]),
    ],
)
def test_jobs_fit_the_terminal_and_a_pipe_gets_every_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int | None, headers: list[str]
) -> None:
    monkeypatch.setattr(console, "width", lambda: width)
    jobs.table([state(ID, batch={"id": "b", "index": 0, "total": 2}), state("short")])
    lines = shown(capsys)
    assert lines[0].split() == headers
    assert lines[1].startswith(f"{ID}  rejected AUDIO_UNREADABLE")
    assert all(len(line) <= (width or 200) for line in lines)


def test_the_tenant_is_kept_where_it_tells_jobs_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "width", lambda: 80)
    jobs.table([state(ID, tenant="acme"), state(ID)])
    assert shown(capsys)[0].split() == ["JOB", "STATUS", "TENANT", "TIME"]


@pytest.mark.parametrize("width", [60, 80])
def test_rows_are_stacked_with_every_column_where_no_table_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    monkeypatch.setattr(console, "width", lambda: width)
    jobs.table([state("x" * 64, batch={"id": "b", "index": 0, "total": 2})])
    first, *others = shown(capsys)
    assert first == "x" * 64
    assert all(len(line) <= width and line.startswith("  ") for line in others)
    rest = " ".join(line.strip() for line in others)
    assert rest.startswith("status rejected AUDIO_UNREADABLE, tenant default, engine puppet, time 0.00 s, ")
    assert "started " in rest
    assert rest.endswith(", batch b 1/2")
    assert not {"video", "stage"} & set(rest.split()), "there is none"


def test_a_long_field_continues_under_its_beginning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "width", lambda: 30)
    columns.fields([("reason", "NO_FACE in face: nothing looks like one"), ("trace", "a" * 40)])
    assert shown(capsys) == [
        "reason   NO_FACE in face:",
        "         nothing looks like",
        "         one",
        f"trace    {'a' * 40}",
    ]
