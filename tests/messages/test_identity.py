"""Which job a record is, also when it can't be read."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages.headers import Header, task_headers
from shared.messages.identity import BestEffortIdentity, identify_task_best_effort
from shared.messages.task import RenderTask

TASK = RenderTask.parse((Path(__file__).parent / "samples" / "task-encode.json").read_bytes())
HEADERS = task_headers(TASK, "encode", 5)
KEY = TASK.job_id.encode()


def changed(**fields: Any) -> bytes:
    """The task's value with other fields; None: without that field."""
    body = json.loads(TASK.dump()) | fields
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


def summary(found: BestEffortIdentity | None) -> tuple[str, str, str] | None:
    return (found.tenant, found.identity.job_id, found.identity.request_id) if found else None


@pytest.mark.parametrize(
    ("value", "key", "headers"),
    [
        (b"{not json", KEY, HEADERS),
        (None, KEY, HEADERS),
        (b"\xff" * 100_000, KEY, HEADERS),
        (b"[" * 60_000, KEY, HEADERS),
        (b"null", b"", HEADERS),
        (b"null", b"\xff", HEADERS),
        (b"null", b"no job id", HEADERS),
    ],
)
def test_an_unreadable_task_is_identified_by_its_headers(value: bytes, key: bytes, headers: list[Header]) -> None:
    assert summary(identify_task_best_effort(value, key, headers)) == (TASK.request.tenant, TASK.job_id, "")


def test_a_task_of_another_form_is_identified_by_its_body() -> None:
    found = identify_task_best_effort(changed(outputs=7), None, None)
    assert summary(found) == (TASK.request.tenant, TASK.job_id, TASK.request_id)
    assert found is not None
    assert (found.batch, found.labels) == (TASK.request.batch, TASK.request.labels)


def test_a_task_without_headers_and_body_is_identified_by_its_key() -> None:
    assert summary(identify_task_best_effort(None, b"job-1", [])) == ("default", "job-1", "")


@pytest.mark.parametrize(
    ("value", "key", "headers"),
    [
        (None, None, None),
        (b"{}", b"\xff\xfe", [("ce_subject", b"\xff"), ("ce_id", b"/:")]),
        (changed(job_id=None), None, []),
        (changed(job_id=["a"], request={"tenant": {}}), b"a b", []),
        (None, b"other", HEADERS),
        (changed(job_id="other"), KEY, HEADERS),
        (changed(job_id="other"), KEY, None),
        (changed(request={"tenant": "other"}), KEY, HEADERS),
    ],
    ids=["nothing", "bytes", "no id", "no text", "key differs", "body differs", "no headers", "tenant differs"],
)
def test_a_task_that_names_no_job_or_several_is_not_identified(
    value: bytes | None, key: bytes | None, headers: list[Header] | None
) -> None:
    assert identify_task_best_effort(value, key, headers) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
REQUESTS = st.fixed_dictionaries({}, optional=dict.fromkeys(("tenant", "batch", "labels"), JSON))
BODIES = st.fixed_dictionaries({}, optional={"job_id": JSON, "request_id": JSON, "request": JSON | REQUESTS})


@given(
    st.none() | st.binary(max_size=100) | BODIES.map(json.dumps).map(str.encode),
    st.none() | st.binary(max_size=10),
    st.lists(st.tuples(st.sampled_from(["ce_id", "ce_subject", "x"]), st.none() | st.binary(max_size=20)), max_size=4),
)
def test_no_bytes_break_the_identification_of_a_task(
    value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    identify_task_best_effort(value, key, headers)
    assert summary(identify_task_best_effort(value, b"j", [("ce_id", b"t/j:face")])) in (
        None,
        *[("t", "j", text) for text in ("", str(_request_id(value)))],
    )


def _request_id(value: bytes | None) -> object:
    try:
        body = json.loads(value or b"")
    except ValueError:
        return None
    return body.get("request_id") if isinstance(body, dict) else None
