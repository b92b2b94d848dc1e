"""What the front can know of a request from its bytes alone: each fault has its code, field and range."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages.codes import Code, Rejected
from shared.messages.events import Done, Failed, Started
from shared.messages.headers import event_headers, task_headers
from shared.messages.identity import identify, identify_best_effort
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.messages.validation import advice, check_request, parse_request

GOOD: dict[str, Any] = {"portrait": {"key": "default/p.png"}, "speech": {"key": "default/s.wav"}}
WHERE = ("render.requests", 3, 7)


def refused(value: bytes | dict[str, Any]) -> Rejected:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    with pytest.raises(Rejected) as error:
        check_request(parse_request(data), ["puppet"])
    return error.value


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        (b"{not json", Code.INVALID_REQUEST, "body"),
        (b"[]", Code.INVALID_REQUEST, "body"),
        (b"", Code.INVALID_REQUEST, "body"),
        (b'{"a": 1, "a": 2}', Code.INVALID_REQUEST, None),
        ({"unknown": 1}, Code.INVALID_REQUEST, "unknown"),
        ({"params": {"inference_step": 3}}, Code.INVALID_REQUEST, "params.inference_step"),
        ({"params": {"inference_steps": "25"}}, Code.INVALID_REQUEST, "params.inference_steps"),
        ({"params": {"inference_steps": 101}}, Code.INVALID_REQUEST, "params.inference_steps"),
        ({"params": {"min_resolution": 500}}, Code.INVALID_REQUEST, "params.min_resolution"),
        ({"params": {"dynamic_scale": float("nan")}}, Code.INVALID_REQUEST, "params.dynamic_scale"),
        ({"params": {"framing": "wide"}}, Code.INVALID_REQUEST, "params.framing"),
        ({"portrait": {"key": "default/../x"}}, Code.INVALID_REQUEST, "portrait.key"),
        ({"portrait": {"key": "http://x/y"}}, Code.INVALID_REQUEST, "portrait.key"),
        ({"portrait": {"key": "/etc/passwd"}}, Code.INVALID_REQUEST, "portrait.key"),
        ({"portrait": {"key": "other/p.png"}}, Code.INPUT_FORBIDDEN, "portrait.key"),
        ({"engine": "sonic"}, Code.ENGINE_UNAVAILABLE, "engine"),
        ({"engine_params": {"head_motion": 3.0}}, Code.INVALID_REQUEST, "engine_params.head_motion"),
        ({"labels": {"k": "v" * 65}}, Code.INVALID_REQUEST, "labels.k"),
        (b'{"x": "' + b"y" * 70_000 + b'"}', Code.MESSAGE_TOO_LARGE, "body"),
    ],
)
def test_faults_are_named(change: bytes | dict[str, Any], code: Code, field: str | None) -> None:
    error = refused(change if isinstance(change, bytes) else {**GOOD, **change})
    assert error.code == code
    if field is not None:
        assert error.field == field


def test_the_range_is_said() -> None:
    error = refused({**GOOD, "params": {"inference_steps": 0}})
    assert error.allowed is not None
    assert "1" in error.allowed
    assert "100" in error.allowed


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_a_rejection(value: bytes) -> None:
    try:
        assert isinstance(parse_request(value), RenderRequest)
    except Rejected as error:
        assert error.code == Code.INVALID_REQUEST
    identify_best_effort(value, value, *WHERE)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
)
def test_any_json_is_a_request_or_a_rejection(value: object) -> None:
    with pytest.raises(Rejected):
        parse_request(json.dumps({**GOOD, "params": {"face": value, "none": value}}).encode())


def test_identity_is_body_then_key_then_coordinates() -> None:
    plain = parse_request(json.dumps(GOOD).encode())
    named = parse_request(json.dumps({**GOOD, "job_id": "mine"}).encode())
    assert identify(named, None, *WHERE, b"1").job_id == "mine"
    assert identify(named, b"mine", *WHERE, b"1").job_id == "mine"
    assert identify(plain, b"key", *WHERE, b"1").job_id == "key"
    first = identify(plain, None, *WHERE, b"1")
    assert first == identify(plain, None, *WHERE, b"1"), "a redelivery is the same job"
    assert first.job_id != identify(plain, None, "render.requests", 3, 8, b"1").job_id
    with pytest.raises(Rejected) as error:
        identify(named, b"other", *WHERE, b"1")
    assert error.value.code == Code.KEY_MISMATCH


def test_another_record_at_the_same_coordinates_is_another_job() -> None:
    """A topic made anew, or a new broker beside an old bucket, gives the coordinates of last year once more."""
    plain = parse_request(json.dumps(GOOD).encode())
    then, now = (identify(plain, None, *WHERE, value) for value in (b"last year", b"now"))
    assert then.job_id != now.job_id
    assert then.request_id != now.request_id
    broken = [identify_best_effort(value, None, *WHERE).identity for value in (b"{", b"}", b"\xff", None)]
    assert len({one.job_id for one in broken}) == 4, "nor do unreadable ones meet"
    assert identify_best_effort(None, None, *WHERE) == identify_best_effort(b"", None, *WHERE), (
        "no value and an empty one say the same: nothing"
    )


def test_a_refused_record_can_not_name_a_job_its_key_denies() -> None:
    saved = identify_best_effort(json.dumps({"job_id": "victim"}).encode(), b"other", *WHERE)
    assert saved.identity.job_id not in ("victim", "other")


def test_tasks_keep_what_they_do_not_know() -> None:
    value = json.dumps(
        {"job_id": "j", "request_id": "r", "submitted_ms": 1, "later": {"x": 1},
         "request": {**GOOD, "params": {"later": 2}, "later": 3}}
    ).encode()  # fmt: skip
    again = json.loads(RenderTask.parse(RenderTask.parse(value).dump()).dump())
    assert again["later"] == {"x": 1}
    assert again["request"]["later"] == 3
    assert again["request"]["params"]["later"] == 2


def test_a_jobs_ends_share_one_id() -> None:
    base: dict[str, Any] = {"job_id": "j", "tenant": "t", "request_id": "r", "time_ms": 5}
    failed = Failed(**base, stage="infer", code=Code.INTERNAL, message="m")
    started = [Started(**base, stage="infer", attempt=n) for n in (1, 2)]
    assert dict(event_headers(failed))["ce_id"] == b"t/j:end"
    assert len({dict(event_headers(e))["ce_id"] for e in started}) == 2
    assert not any(name == "traceparent" for name, _ in event_headers(failed))
    assert Done.model_fields["type"].default in ("done",)


def test_ids_of_two_tenants_tasks_differ() -> None:
    tasks = [
        RenderTask(
            job_id="j", request_id="r", submitted_ms=1, request=RenderRequest.model_validate({**GOOD, "tenant": t})
        )
        for t in ("a", "b")
    ]
    assert [dict(task_headers(task, "face", 5))["ce_id"] for task in tasks] == [b"a/j:face", b"b/j:face"]


def test_few_steps_draw_advice() -> None:
    few = parse_request(json.dumps({**GOOD, "params": {"inference_steps": 19}}).encode())
    enough = parse_request(json.dumps({**GOOD, "params": {"inference_steps": 20}}).encode())
    assert [w.code for w in advice(few)] == [Code.NON_OPTIMAL_STEPS]
    assert advice(enough) == ()
