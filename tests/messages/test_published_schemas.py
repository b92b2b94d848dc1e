"""The published schemas and the readers agree: a value is read exactly when it is valid, but for named rules."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from jsonschema import Draft202012Validator

from shared.messages.cancel import decode_cancel
from shared.messages.chunk_notice import ChunkNotice
from shared.messages.codes import Rejected
from shared.messages.dead_letter_state import DeadLetterRun, DeadLetterState
from shared.messages.events import parse_event
from shared.messages.refs import MAX_KEY_BYTES
from shared.messages.schemas import FOLDER
from shared.messages.task import MAX_ENVELOPE_BYTES, RenderTask
from shared.messages.text import find_control_character
from shared.messages.validation import check_engine_params, parse_request
from shared.messages.webhook import WebhookNotice
from tests.messages.schema_values import ANY, Values

Json = Any
SCHEMAS = {
    path.name.removesuffix(".schema.json"): json.loads(path.read_text()) for path in FOLDER.glob("*.schema.json")
}
VALIDATORS = {name: Draft202012Validator(schema) for name, schema in SCHEMAS.items()}


def read_request(value: bytes) -> Json:
    request = parse_request(value)
    check_engine_params(request)
    return request


READERS: dict[str, Callable[[bytes], Json]] = {
    "render-request": read_request,
    "render-task": RenderTask.parse,
    "render-event": parse_event,
    "chunk-notice": ChunkNotice.parse,
    "cancel-command": lambda value: decode_cancel(b"job", value),
    "webhook-notice": WebhookNotice.parse,
    "dead-letter-state": DeadLetterState.model_validate_json,
    "dead-letter-run": DeadLetterRun.model_validate_json,
}


def is_read(name: str, value: Json) -> bool:
    try:
        READERS[name](json.dumps(value).encode())
    except (ValueError, Rejected):
        return False
    return True


# The rules that no schema expresses; docs/messages.md lists them.


def _is_too_long(value: Json) -> bool:
    return len(json.dumps(value).encode()) > MAX_ENVELOPE_BYTES


def _has_a_key_of_too_many_bytes(value: Json) -> bool:
    keys = [node[name] for node in _objects(value) for name in ("key", "prefix") if isinstance(node.get(name), str)]
    return any(len(key.encode(errors="replace")) > MAX_KEY_BYTES for key in keys)


def _has_an_empty_box(value: Json) -> bool:
    boxes = [node["face"] for node in _objects(value) if isinstance(node.get("face"), list)]
    return any(len(b) == 4 and all(isinstance(x, int | float) for x in b) and (b[0] >= b[2] or b[1] >= b[3])
               for b in boxes)  # fmt: skip


def _has_a_control_character_beyond_the_basic_plane(value: Json) -> bool:
    texts = [text for node in _objects(value) for pair in node.items() for text in pair if isinstance(text, str)]
    return any((c := find_control_character(text)) and len(c) > len("U+FFFF") for text in texts)


OUTSIDE_THE_SCHEMAS = (
    _is_too_long,
    _has_a_key_of_too_many_bytes,
    _has_an_empty_box,
    _has_a_control_character_beyond_the_basic_plane,
)


def _objects(value: Json) -> Iterator[dict[str, Json]]:
    if isinstance(value, dict):
        yield value
    for member in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(member)


def is_valid(name: str, value: Json) -> bool:
    return VALIDATORS[name].is_valid(value) and not any(rule(value) for rule in OUTSIDE_THE_SCHEMAS)


ODD: tuple[Json, ...] = (
    None, True, 0, -0.0, 1.0, 64.0, 0.5, 1e300, -1, 10**40,
    "", "0", "true", "a\n", "a/../b", "a//b", "\x1b", "x" * 65, [], {},
)  # fmt: skip


def _places(value: Json) -> Iterator[tuple[Any, Any]]:
    """Each member of each object and list, as its holder and its name or index."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield value, key
        yield from _places(member)


VALUES = {name: Values(schema).strategy for name, schema in SCHEMAS.items()}
SAMPLES = Path(__file__).parent / "samples"
slow = settings(max_examples=50, suppress_health_check=list(HealthCheck), deadline=None)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_valid_value_is_read(name: str) -> None:
    @slow
    @given(VALUES[name])
    def check(value: Json) -> None:
        assume(not any(rule(value) for rule in OUTSIDE_THE_SCHEMAS))
        READERS[name](json.dumps(value).encode())

    check()


@pytest.mark.parametrize(
    "sample_name", ["request-full", "task-encode", "event-done", "event-started", "event-finished"]
)
def test_reader_and_schema_agree_on_every_changed_member(sample_name: str) -> None:
    name = f"render-{sample_name.partition('-')[0]}"
    sample = json.loads((SAMPLES / f"{sample_name}.json").read_text())
    places = list(_places(sample))
    for holder, key in places:
        member = holder[key]
        others = [*ODD, json.dumps(member), [member], {"key": member}]
        others += [float(member)] if isinstance(member, int) else []
        for other in others:
            holder[key] = other
            assert is_read(name, sample) == is_valid(name, sample), (key, other)
        del holder[key]
        assert is_read(name, sample) == is_valid(name, sample), (key, "missing")
        if isinstance(holder, list):
            holder.insert(key, member)
        else:
            holder[key] = member
            for other in ODD:
                holder["later"] = other
                assert is_read(name, sample) == is_valid(name, sample), ("later", other)
            del holder["later"]


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_reader_and_schema_agree_on_any_json(name: str) -> None:
    @slow
    @given(ANY)
    def check(value: Json) -> None:
        assert is_read(name, value) == is_valid(name, value)

    check()
