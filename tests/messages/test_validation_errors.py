"""Error messages of a rejected request: the field as written, a sentence, and the accepted values."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages.codes import Code, Rejected
from shared.messages.validation import check_request, parse_request

GOOD: dict[str, Any] = {"portrait": {"key": "default/p.png"}, "speech": {"key": "default/s.wav"}}
FACES = "largest, a whole number from 0 to 63 or a list of 4 numbers, each 0 to 65535"
LABELS = "text of at most 64 characters, without control characters"
NAMES = "1 to 63 of a-z, 0-9, _ and -, the first a letter or digit"


def rejection_of(request: Any) -> Rejected:
    value = request if isinstance(request, bytes) else json.dumps(request).encode()
    with pytest.raises(Rejected) as error:
        check_request(parse_request(value), ["puppet"])
    return error.value


@pytest.mark.parametrize(
    ("params", "field", "allowed", "message"),
    [
        ({"inference_steps": 250}, "inference_steps", "1 to 100", "it is 250"),
        ({"inference_steps": True}, "inference_steps", "1 to 100", "a whole number"),
        ({"min_resolution": 300}, "min_resolution", "256 to 1024, a multiple of 64", "it is 300"),
        ({"dynamic_scale": "big"}, "dynamic_scale", "0.5 to 2", "it is text"),
        ({"expand_ratio": float("inf")}, "expand_ratio", "0 to 1", "Infinity"),
        ({"seed": float("nan")}, "seed", "0 to 4294967295", "NaN"),
        ({"seed": 10**400}, "seed", "0 to 4294967295", "a whole number"),
        ({"framing": "fase"}, "framing", "original or face", "Did you mean face?"),
        ({"face": 99}, "face", FACES, "it is 99"),
        ({"face": [1, 2, "x", 4]}, "face", FACES, "it is a list"),
        ({"face": [9, 9, 1, 1]}, "face", FACES, "x0 < x1"),
        ({"trim": 1}, "trim", "true or false", "it is 1"),
    ],
)
def test_invalid_parameter_gives_its_range(params: dict[str, Any], field: str, allowed: str, message: str) -> None:
    error = rejection_of({**GOOD, "params": params})
    assert (error.code, error.field, error.allowed) == (Code.INVALID_REQUEST, f"params.{field}", allowed)
    assert message in error.message


@pytest.mark.parametrize(
    ("change", "field", "allowed"),
    [
        ({"tenant": "UPPER"}, "tenant", NAMES),
        ({"portrait": {"key": "default/a", "sha256": "F00"}}, "portrait.sha256", "64 hexadecimal digits in lower case"),
        ({"batch": {"id": "b"}}, "batch.index", "0 to 10000000"),
        ({"labels": {"k" * 70: "v"}}, "labels." + "k" * 64 + "...", LABELS),
        ({"engine_params": {"head_motion": float("nan")}}, "engine_params.head_motion", "0 to 2"),
        ({"engine_params": {"blink": True}}, "engine_params.blink", "blinks and head_motion"),
        ({"lane": None}, "lane", "interactive or bulk"),
    ],
)
def test_invalid_field_gives_its_range(change: dict[str, Any], field: str, allowed: str) -> None:
    error = rejection_of({**GOOD, **change})
    assert (error.code, error.field, error.allowed) == (Code.INVALID_REQUEST, field, allowed)


@pytest.mark.parametrize(
    "key",
    ["", "/default/a", "default//a", "default/./a", "default/../a", "default/link/../../b", "default\\a", "default/a\0",
     "s3://default/a", "file:///default/a", "default/" + "é" * 600],
)  # fmt: skip
def test_key_must_name_one_object(key: str) -> None:
    error = rejection_of({**GOOD, "speech": {"key": key}})
    assert (error.code, error.field) == (Code.INVALID_REQUEST, "speech.key")


@pytest.mark.parametrize(
    "place",
    [{"speech": {"key": "other/a"}}, {"speech": {"key": "defaults/a"}}, {"output": {"bucket": "o", "prefix": "x"}}],
)
def test_key_must_be_under_the_tenants_prefix(place: dict[str, Any]) -> None:
    error = rejection_of({**GOOD, **place})
    assert (error.code, error.allowed) == (Code.INPUT_FORBIDDEN, "keys that start with default/")


def test_misspelt_name_is_reported_before_the_missing_one() -> None:
    error = rejection_of({"portrit": {"key": "default/p.png"}, "speech": GOOD["speech"]})
    assert error.field == "portrit"
    assert "Did you mean portrait?" in error.message


@pytest.mark.parametrize("value", [b"null", b"7", b'"x"', b"[]", b"\xff", b"[" * 9000, b"{}{}", "{}".encode("utf-16")])
def test_body_must_be_a_json_object(value: bytes) -> None:
    error = rejection_of(value)
    assert (error.code, error.field, error.allowed) == (Code.INVALID_REQUEST, "body", "a JSON object")


def test_duplicate_name_is_rejected() -> None:
    error = rejection_of(json.dumps(GOOD).encode()[:-1] + b',"params":{"seed":1,"seed":2}}')
    assert (error.code, error.field) == (Code.INVALID_REQUEST, "params.seed")


def test_value_of_more_than_64_kib_is_rejected() -> None:
    exact = json.dumps(GOOD).encode().ljust(64 * 1024)
    assert parse_request(exact).tenant == "default"
    assert rejection_of(exact + b" ").code == Code.MESSAGE_TOO_LARGE


def test_message_is_short_and_repeats_no_personal_text() -> None:
    error = rejection_of({**GOOD, "owner": "a person", "x" * 5000: 1})
    assert "a person" not in error.message
    assert len(error.message) < 300
    assert "a person" not in rejection_of({**GOOD, "owner": "a person"}).message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["job_id", "tenant", "owner", "batch", "labels", "portrait", "speech", "output", "engine", "engine_params",
          "params", "lane", "deadline_s"]  # fmt: skip
PARAMS = ["inference_steps", "dynamic_scale", "min_resolution", "framing", "face", "duration", "trim", "seed"]


@given(
    st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), JSON, max_size=3),
    st.dictionaries(st.sampled_from(PARAMS) | st.text(max_size=5), JSON, max_size=3),
)
def test_any_change_of_a_request_is_accepted_or_rejected(change: dict[str, Any], params: dict[str, Any]) -> None:
    value = json.dumps({**GOOD, "params": params, **change}).encode()
    try:
        request = parse_request(value)
        check_request(request, ["puppet"])
    except Rejected as error:
        assert error.code in (Code.INVALID_REQUEST, Code.INPUT_FORBIDDEN, Code.ENGINE_UNAVAILABLE)
        assert error.field
        return
    assert parse_request(request.model_dump_json().encode()) == request, "a written request reads back unchanged"
