"""Job ids of records, and the best-effort identity of those that can't be read."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages.codes import Code, Rejected
from shared.messages.headers import Header, task_headers
from shared.messages.identity import BestEffortIdentity, identify, identify_best_effort, identify_task_best_effort
from shared.messages.task import RenderTask
from shared.messages.validation import parse_request

TASK = RenderTask.parse((Path(__file__).parent / "samples" / "task-encode.json").read_bytes())
HEADERS = task_headers(TASK, "encode", 5)
KEY = TASK.job_id.encode()
GOOD: dict[str, Any] = {"portrait": {"key": "default/p.png"}, "speech": {"key": "default/s.wav"}}
COORDINATES = ("render.requests", 3, 7)


def test_job_id_is_that_of_the_body_then_the_key_then_the_coordinates() -> None:
    plain = parse_request(json.dumps(GOOD).encode())
    with_id = parse_request(json.dumps({**GOOD, "job_id": "mine"}).encode())
    assert identify(with_id, None, *COORDINATES, b"1").job_id == "mine"
    assert identify(with_id, b"mine", *COORDINATES, b"1").job_id == "mine"
    assert identify(plain, b"key", *COORDINATES, b"1").job_id == "key"
    first = identify(plain, None, *COORDINATES, b"1")
    assert first == identify(plain, None, *COORDINATES, b"1"), "a redelivery is the same job"
    assert first.job_id != identify(plain, None, "render.requests", 3, 8, b"1").job_id
    with pytest.raises(Rejected) as error:
        identify(with_id, b"other", *COORDINATES, b"1")
    assert error.value.code == Code.KEY_MISMATCH


def test_another_value_at_the_same_coordinates_is_another_job() -> None:
    """Coordinates repeat when a topic is created again or a new broker is used with an existing bucket."""
    plain = parse_request(json.dumps(GOOD).encode())
    first, second = (identify(plain, None, *COORDINATES, value) for value in (b"first", b"second"))
    assert first.job_id != second.job_id
    assert first.request_id != second.request_id
    broken = [identify_best_effort(value, None, *COORDINATES).identity for value in (b"{", b"}", b"\xff", None)]
    assert len({one.job_id for one in broken}) == 4, "unreadable records are different jobs too"
    assert identify_best_effort(None, None, *COORDINATES) == identify_best_effort(b"", None, *COORDINATES), (
        "a null value and an empty one are the same"
    )


def test_rejected_record_does_not_name_a_job_that_its_key_contradicts() -> None:
    identified = identify_best_effort(json.dumps({"job_id": "victim"}).encode(), b"other", *COORDINATES)
    assert identified.identity.job_id not in ("victim", "other")


def test_rejected_record_echoes_only_valid_fields() -> None:
    body = {"tenant": "acme", "batch": {"id": "b", "index": 1, "total": 2, "ballast": "x" * 5000}, "labels": {"a": 1}}
    identified = identify_best_effort(json.dumps(body).encode(), b"key-1", "t", 0, 0)
    assert (identified.identity.job_id, identified.tenant, identified.labels) == ("key-1", "acme", {})
    assert identified.batch is not None
    assert identified.batch.model_dump() == {"id": "b", "index": 1, "total": 2}


def changed(**fields: Any) -> bytes:
    """The task's value with other fields; None: without that field."""
    body = json.loads(TASK.dump()) | fields
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


def summary(identified: BestEffortIdentity | None) -> tuple[str, str, str] | None:
    if identified is None:
        return None
    return identified.tenant, identified.identity.job_id, identified.identity.request_id


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
    identified = identify_task_best_effort(changed(outputs=7), None, None)
    assert summary(identified) == (TASK.request.tenant, TASK.job_id, TASK.request_id)
    assert identified is not None
    assert (identified.batch, identified.labels) == (TASK.request.batch, TASK.request.labels)


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


@given(st.none() | st.binary(max_size=300) | BODIES.map(json.dumps).map(str.encode), st.none() | st.binary(max_size=10))
def test_no_bytes_break_the_identification_of_a_request(value: bytes | None, key: bytes | None) -> None:
    identify_best_effort(value, key, *COORDINATES)
