"""What a user reads when a request is refused: the field as written, a sentence, and what would be accepted."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages.codes import Code, Rejected
from shared.messages.identity import identify_best_effort
from shared.messages.task import RenderTask
from shared.messages.validation import check_request, parse_request

GOOD: dict[str, Any] = {"portrait": {"key": "default/p.png"}, "speech": {"key": "default/s.wav"}}
FACES = "largest, a whole number from 0 to 63 or a list of 4 numbers, each 0 to 65535"
LABELS = "text of at most 64 characters, without control characters"
NAMES = "1 to 63 of a-z, 0-9, _ and -, the first a letter or digit"


def refused(request: Any) -> Rejected:
    value = request if isinstance(request, bytes) else json.dumps(request).encode()
    with pytest.raises(Rejected) as error:
        check_request(parse_request(value), ["puppet"])
    return error.value


@pytest.mark.parametrize(
    ("params", "field", "allowed", "said"),
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
def test_a_parameter(params: dict[str, Any], field: str, allowed: str, said: str) -> None:
    error = refused({**GOOD, "params": params})
    assert (error.code, error.field, error.allowed) == (Code.INVALID_REQUEST, f"params.{field}", allowed)
    assert said in error.message


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
def test_a_field(change: dict[str, Any], field: str, allowed: str) -> None:
    error = refused({**GOOD, **change})
    assert (error.code, error.field, error.allowed) == (Code.INVALID_REQUEST, field, allowed)


@pytest.mark.parametrize(
    "key",
    ["", "/default/a", "default//a", "default/./a", "default/../a", "default/link/../../b", "default\\a", "default/a\0",
     "s3://default/a", "file:///default/a", "default/" + "é" * 600],
)  # fmt: skip
def test_a_key_names_one_object(key: str) -> None:
    error = refused({**GOOD, "speech": {"key": key}})
    assert (error.code, error.field) == (Code.INVALID_REQUEST, "speech.key")


@pytest.mark.parametrize(
    "place",
    [{"speech": {"key": "other/a"}}, {"speech": {"key": "defaults/a"}}, {"output": {"bucket": "o", "prefix": "x"}}],
)
def test_a_key_is_the_tenants_own(place: dict[str, Any]) -> None:
    error = refused({**GOOD, **place})
    assert (error.code, error.allowed) == (Code.INPUT_FORBIDDEN, "keys that start with default/")


def test_a_misspelt_name_explains_a_missing_one() -> None:
    error = refused({"portrit": {"key": "default/p.png"}, "speech": GOOD["speech"]})
    assert error.field == "portrit"
    assert "Did you mean portrait?" in error.message


@pytest.mark.parametrize("value", [b"null", b"7", b'"x"', b"[]", b"\xff", b"[" * 9000, b"{}{}", "{}".encode("utf-16")])
def test_a_body_is_a_json_object(value: bytes) -> None:
    error = refused(value)
    assert (error.code, error.field, error.allowed) == (Code.INVALID_REQUEST, "body", "a JSON object")


def test_a_name_stands_once() -> None:
    error = refused(json.dumps(GOOD).encode()[:-1] + b',"params":{"seed":1,"seed":2}}')
    assert (error.code, error.field) == (Code.INVALID_REQUEST, "params.seed")


def test_the_limit_is_64_kib() -> None:
    exact = json.dumps(GOOD).encode().ljust(64 * 1024)
    assert parse_request(exact).tenant == "default"
    assert refused(exact + b" ").code == Code.MESSAGE_TOO_LARGE


def test_a_message_tells_nothing_personal_and_stays_short() -> None:
    error = refused({**GOOD, "owner": "a person", "x" * 5000: 1})
    assert "a person" not in error.message
    assert len(error.message) < 300
    assert "a person" not in refused({**GOOD, "owner": "a person"}).message


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
def test_any_change_of_a_request_is_read_or_refused(change: dict[str, Any], params: dict[str, Any]) -> None:
    value = json.dumps({**GOOD, "params": params, **change}).encode()
    identify_best_effort(value, None, "t", 0, 0)
    try:
        request = parse_request(value)
        check_request(request, ["puppet"])
    except Rejected as error:
        assert error.code in (Code.INVALID_REQUEST, Code.INPUT_FORBIDDEN, Code.ENGINE_UNAVAILABLE)
        assert error.field
        return
    assert parse_request(request.model_dump_json().encode()) == request, "a request reads back as itself"


FINITE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(FINITE)
def test_tasks_keep_what_they_do_not_know_at_every_depth(later: Any) -> None:
    ref = {"bucket": "artifacts", "key": "k", "sha256": "0" * 64, "size": 1, "later": later}
    output = {"attempt": "a", "artifacts": {"pcm": ref}, "metadata": {"later": later}, "later": later,
               "warnings": [{"code": "SILENT_AUDIO", "message": "m", "later": later}]}  # fmt: skip
    request = {"portrait": {**GOOD["portrait"], "later": later}, "speech": GOOD["speech"], "later": later,
               "params": {"later": later}, "batch": {"id": "b", "index": 0, "total": 1, "later": later},
               "output": {"bucket": "o", "prefix": "default", "later": later}}  # fmt: skip
    task = {"job_id": "j", "request_id": "r", "submitted_ms": 1, "later": later, "request": request,
            "outputs": {"audio": output}}  # fmt: skip
    read = json.loads(RenderTask.parse(json.dumps(task).encode()).dump())
    made = read["outputs"]["audio"]
    asked = read["request"]
    assert [
        read["later"], asked["later"], asked["portrait"]["later"], asked["params"]["later"], asked["batch"]["later"],
        asked["output"]["later"], made["later"], made["metadata"]["later"], made["artifacts"]["pcm"]["later"],
        made["warnings"][0]["later"],
    ] == [later] * 10  # fmt: skip


def test_a_refused_record_echoes_only_what_is_valid() -> None:
    body = {"tenant": "acme", "batch": {"id": "b", "index": 1, "total": 2, "ballast": "x" * 5000}, "labels": {"a": 1}}
    saved = identify_best_effort(json.dumps(body).encode(), b"key-1", "t", 0, 0)
    assert (saved.identity.job_id, saved.tenant, saved.labels) == ("key-1", "acme", {})
    assert saved.batch is not None
    assert saved.batch.model_dump() == {"id": "b", "index": 1, "total": 2}
