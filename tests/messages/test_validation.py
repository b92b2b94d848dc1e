"""Validation of a request from its bytes: each fault has its code, field and range."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages.codes import Code, Rejected
from shared.messages.identity import identify_best_effort
from shared.messages.request import RenderRequest
from shared.messages.validation import advice, check_consent, check_request, parse_request

GOOD: dict[str, Any] = {"portrait": {"key": "default/p.png"}, "speech": {"key": "default/s.wav"}}


def rejection_of(value: bytes | dict[str, Any]) -> Rejected:
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
        ({"consent": "two words"}, Code.INVALID_REQUEST, "consent"),
        ({"consent": "c" * 129}, Code.INVALID_REQUEST, "consent"),
        ({"params": {"ai_label": "fr"}}, Code.INVALID_REQUEST, "params.ai_label"),
        ({"labels": {"k": "v" * 65}}, Code.INVALID_REQUEST, "labels.k"),
        (b'{"x": "' + b"y" * 70_000 + b'"}', Code.MESSAGE_TOO_LARGE, "body"),
    ],
)
def test_rejection_has_code_and_field(change: bytes | dict[str, Any], code: Code, field: str | None) -> None:
    error = rejection_of(change if isinstance(change, bytes) else {**GOOD, **change})
    assert error.code == code
    if field is not None:
        assert error.field == field


def test_rejection_has_the_allowed_range() -> None:
    error = rejection_of({**GOOD, "params": {"inference_steps": 0}})
    assert error.allowed is not None
    assert "1" in error.allowed
    assert "100" in error.allowed


@pytest.mark.parametrize("consent", [None, "form:2026.17"])
def test_consent_is_required_where_the_policy_says_so(consent: str | None) -> None:
    request = parse_request(json.dumps({**GOOD, "consent": consent}).encode())
    check_consent(request, required=False)
    if consent is not None:
        check_consent(request, required=True)
        return
    with pytest.raises(Rejected) as error:
        check_consent(request, required=True)
    assert (error.value.code, error.value.field) == (Code.CONSENT_REQUIRED, "consent")
    assert error.value.allowed == "1 to 128 of A-Z, a-z, 0-9 and . _ : -"


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_a_rejection(value: bytes) -> None:
    try:
        assert isinstance(parse_request(value), RenderRequest)
    except Rejected as error:
        assert error.code == Code.INVALID_REQUEST


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
)
def test_any_json_is_a_request_or_a_rejection(value: object) -> None:
    with pytest.raises(Rejected):
        parse_request(json.dumps({**GOOD, "params": {"face": value, "none": value}}).encode())


@pytest.mark.parametrize("number", ["256.0", "2.56e2", "2560e-1", "256"])
def test_whole_number_is_read_however_it_is_written(number: str) -> None:
    body = json.dumps({**GOOD, "params": {"min_resolution": 7}}).replace("7", number)
    assert parse_request(body.encode()).params.min_resolution == 256


def test_byte_order_mark_and_white_space_are_skipped() -> None:
    value = b"\xef\xbb\xbf \r\n\t" + json.dumps({**GOOD, "job_id": "a"}).encode() + b"\n"
    assert parse_request(value) == parse_request(value.removeprefix(b"\xef\xbb\xbf"))
    assert identify_best_effort(value, None, "t", 0, 0).identity.job_id == "a"


def test_few_inference_steps_give_a_warning() -> None:
    few = parse_request(json.dumps({**GOOD, "params": {"inference_steps": 19}}).encode())
    enough = parse_request(json.dumps({**GOOD, "params": {"inference_steps": 20}}).encode())
    assert [w.code for w in advice(few)] == [Code.NON_OPTIMAL_STEPS]
    assert advice(enough) == ()
