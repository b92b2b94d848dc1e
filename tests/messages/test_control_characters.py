"""Control characters are rejected in requests, and stay readable in older tasks."""

import json
import re
import sys
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from shared.messages.codes import Code, Rejected
from shared.messages.identity import identify_best_effort
from shared.messages.json_schemas import json_schemas
from shared.messages.task import RenderTask
from shared.messages.text import ALLOWED_TEXT, TEXT_PATTERN, find_control_character
from shared.messages.validation import check_request, parse_request

GOOD: dict[str, Any] = {"portrait": {"key": "default/p.png"}, "speech": {"key": "default/s.wav"}}
CHARACTERS = ["\x1b", "\x07", "\r", "\n", "\x00", "\x7f", "\x85", "\x9b", "\u202e", "\u2066", "\u200b", "\u200d",
              "\ufeff", "\u2028", "\u2029", "\u061c", "\U000e0041", "\U0001d173"]  # fmt: skip
PLACES = {
    "labels.a": lambda c: {"labels": {"a": f"x{c}y"}},
    "labels.a?": lambda c: {"labels": {f"a{c}": "x"}},
    "portrait.key": lambda c: {"portrait": {"key": f"default/x{c}y"}},
    "speech.key": lambda c: {"speech": {"key": f"default/{c}"}},
    "output.prefix": lambda c: {"output": {"bucket": "out", "prefix": f"default/{c}"}},
    "job_id": lambda c: {"job_id": f"x{c}"},
    "tenant": lambda c: {"tenant": f"x{c}"},
    "department": lambda c: {"department": f"x{c}"},
    "owner": lambda c: {"owner": f"x{c}"},
    "batch.id": lambda c: {"batch": {"id": f"x{c}", "index": 0, "total": 1}},
    "portrait.bucket": lambda c: {"portrait": {"key": "default/p", "bucket": f"inputs{c}"}},
    "portrait.sha256": lambda c: {"portrait": {"key": "default/p", "sha256": "0" * 64 + c}},
    "engine": lambda c: {"engine": f"puppet{c}"},
    "engine_params.blinks": lambda c: {"engine_params": {"blinks": f"{c}"}},
    "engine_params.x?": lambda c: {"engine_params": {f"x{c}": [{"a": f"{c}"}]}},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("character", CHARACTERS)
def test_control_character_is_rejected_with_its_field(place: str, character: str) -> None:
    request = {**GOOD, **PLACES[place](character)}
    with pytest.raises(Rejected) as refused:
        check_request(parse_request(json.dumps(request).encode()), ["puppet"])
    error = refused.value
    assert (error.code, error.field) == (Code.INVALID_REQUEST, place)
    assert all(text.isprintable() for text in (error.message, error.field or "", error.allowed or ""))


def test_rejection_names_the_character_and_the_allowed_text() -> None:
    with pytest.raises(Rejected) as refused:
        parse_request(json.dumps({**GOOD, "labels": {"take": "\x1b]0;owned\x07"}}).encode())
    assert refused.value.message == "labels.take contains a control character (U+001B)."
    assert refused.value.allowed == ALLOWED_TEXT


def test_text_of_every_script_is_accepted() -> None:
    labels = {"名前": "田中　太郎", "نام": "الاسم", "e\u0301": "naïve café", "emoji": "🎬👍🏽"}
    assert parse_request(json.dumps({**GOOD, "labels": labels}).encode()).labels == labels


def test_older_task_with_control_characters_is_read_and_written_unchanged() -> None:
    old = {**GOOD, "labels": {"a\u202e": "\x1b[2J"}, "portrait": {"key": "default/\u200bp"}}
    value = json.dumps({"job_id": "j", "request_id": "r", "submitted_ms": 1, "request": old}).encode()
    again = json.loads(RenderTask.parse(RenderTask.parse(value).dump()).dump())["request"]
    assert again["labels"] == old["labels"]
    assert again["portrait"]["key"] == "default/\u200bp"


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=4))
def test_rejected_record_echoes_no_control_characters(labels: dict[str, str]) -> None:
    identified = identify_best_effort(json.dumps({"unknown": 1, "labels": labels}).encode(), None, "t", 0, 0)
    texts = [text for pair in identified.labels.items() for text in pair]
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for text in texts for c in text)


def test_schema_and_rule_agree_on_the_basic_plane() -> None:
    plane = [c for c in map(chr, range(0x10000)) if unicodedata.category(c) != "Cs"]
    matched = [c for c in plane if re.fullmatch(TEXT_PATTERN, c)]
    assert matched == [c for c in plane if find_control_character(c) is None]
    assert all(find_control_character(chr(n)) for n in range(sys.maxunicode) if unicodedata.category(chr(n)) == "Cf")
    validator = Draft202012Validator(json_schemas()["render-request.schema.json"])
    assert validator.is_valid({**GOOD, "labels": {"a": "x y"}})
    for bad in ({"labels": {"a": "\x1bx"}}, {"labels": {"a\u202ex": ""}}, {"speech": {"key": "default/\x9bx"}}):
        assert not validator.is_valid({**GOOD, **bad})
