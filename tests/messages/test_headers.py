"""Headers of a record: what is written is read back, and no header breaks the reader."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages.codes import Code
from shared.messages.events import EVENT, Failed, RejectedEvent, Retrying, Started
from shared.messages.headers import RecordHeaders, event_headers, read_headers, task_headers
from shared.messages.task import RenderTask

SAMPLES = Path(__file__).parent / "samples"
TRACEPARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
NAMES = ("ce_type", "ce_id", "ce_subject", "traceparent", "CE_ID", "other")


def headers(**values: str) -> list[tuple[str, bytes | None]]:
    return [(name, value.encode()) for name, value in values.items()]


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("event-*.json")), ids=lambda p: p.stem)
def test_headers_of_every_event_name_its_job(path: Path) -> None:
    event = EVENT.validate_json(path.read_bytes())
    read = read_headers(event_headers(event))
    assert (read.type, read.tenant, read.job_id) == (f"event.{event.type}", event.tenant, event.job_id)
    assert read.request_id == (event.request_id if event.type in ("accepted", "conflict") else None)
    assert read.attempt == (event.attempt if event.type in ("started", "progress") else None)


def test_headers_of_a_task_name_its_job_and_its_stage() -> None:
    task = RenderTask.parse((SAMPLES / "task-encode.json").read_bytes())
    read = read_headers([*task_headers(task, "encode", 5), ("traceparent", TRACEPARENT.encode())])
    assert read == RecordHeaders("task.encode", task.job_id, task.request.tenant, traceparent=TRACEPARENT)


@pytest.mark.parametrize(
    ("given_headers", "expected"),
    [
        (None, RecordHeaders()),
        ([], RecordHeaders()),
        (headers(ce_subject="j"), RecordHeaders(job_id="j")),
        (headers(ce_id="t/j:face"), RecordHeaders(job_id="j", tenant="t")),
        (headers(ce_id="t/j:face", ce_subject="k"), RecordHeaders()),
        (headers(ce_id="T!/j:face"), RecordHeaders(job_id="j")),
        (headers(ce_id="t/j k:face", ce_subject="j"), RecordHeaders(job_id="j", tenant="t")),
        (headers(ce_id="t/j:face:started:0"), RecordHeaders(job_id="j", tenant="t")),
        (headers(ce_id="t/j:face:started:" + "9" * 30), RecordHeaders(job_id="j", tenant="t")),
        (headers(ce_id="t/j:accepted:a b"), RecordHeaders(job_id="j", tenant="t")),
        (headers(ce_type="lipstage.task.face"), RecordHeaders()),
        (headers(traceparent="00-zz-1-01"), RecordHeaders()),
    ],
)
def test_absent_and_malformed_headers_name_nothing(given_headers: Any, expected: RecordHeaders) -> None:
    assert read_headers(given_headers) == expected


def test_last_readable_value_of_a_header_is_used() -> None:
    values = [("ce_subject", b"a"), ("CE_Subject", b"b"), ("ce_subject", b"\xff"), ("ce_subject", None)]
    assert read_headers(values).job_id == "b"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES) | st.text(), st.none() | st.binary() | st.text(alphabet="aT1:/-.é\n").map(str.encode)
        )
    )
)
def test_no_headers_break_the_reader(values: list[tuple[str, bytes | None]]) -> None:
    read = read_headers(values)
    assert all(text is None or text.isascii() for text in (read.type, read.job_id, read.tenant, read.request_id))


def test_terminal_events_of_a_job_share_one_id() -> None:
    base: dict[str, Any] = {"job_id": "j", "tenant": "t", "request_id": "r", "time_ms": 5}
    failed = Failed(**base, stage="infer", code=Code.INTERNAL, message="m")
    rejected = RejectedEvent(**base, stage="audio", code=Code.AUDIO_EMPTY, message="m")
    started = [Started(**base, stage="infer", attempt=n) for n in (1, 2)]
    assert [dict(event_headers(event))["ce_id"] for event in (failed, rejected)] == [b"t/j:end"] * 2
    assert len({dict(event_headers(event))["ce_id"] for event in started}) == 2
    assert not any(name == "traceparent" for name, _ in event_headers(failed))


def test_tasks_of_two_tenants_have_different_ids() -> None:
    task = RenderTask.parse((SAMPLES / "task-encode.json").read_bytes())
    requests = [task.request.model_copy(update={"tenant": tenant}) for tenant in ("a", "b")]
    tasks = [task.model_copy(update={"job_id": "j", "request": request}) for request in requests]
    assert [dict(task_headers(task, "face", 5))["ce_id"] for task in tasks] == [b"a/j:face", b"b/j:face"]


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("event-*.json")), ids=lambda path: path.stem)
def test_source_is_the_stage_of_the_event(path: Path) -> None:
    event = EVENT.validate_json(path.read_bytes())
    special = {"done": "/encode", "accepted": "/audio", "conflict": "/audio", "purged": "", "replayed": ""}
    part = special[event.type] if event.type in special else f"/{json.loads(path.read_text())['stage']}"
    assert dict(event_headers(event))["ce_source"] == f"/lipstage{part}".encode()


def test_retries_that_use_no_attempt_have_ids_of_their_own() -> None:
    event = EVENT.validate_json((SAMPLES / "event-retrying.json").read_bytes())
    assert isinstance(event, Retrying)
    later = event.model_copy(update={"due_ms": event.due_ms + 60_000})
    ids = {dict(event_headers(one))["ce_id"] for one in (event, later, event)}
    assert len(ids) == 2
