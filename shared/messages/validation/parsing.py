"""The value of a record as a render request: strict JSON in, a request or one rejection out."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from shared.messages.codes import Code, Rejected
from shared.messages.json_text import json_text
from shared.messages.request import RenderRequest
from shared.messages.task import MAX_ENVELOPE_BYTES
from shared.messages.text import ALLOWED_TEXT, find_control_character
from shared.messages.validation.errors import BODY, explain, printable_name
from shared.messages.validation.rules import check_engine_params


def parse_request(value: bytes | None) -> RenderRequest:
    """Read the value of a record on ``render.requests``.

    Strict: UTF-8 JSON (RFC 8259; a byte order mark is skipped), no unknown field at any depth, no number that JSON
    can't represent, no duplicate name in one object (readers disagree on which one counts), and no control character in
    any text. Raises Rejected
    with MESSAGE_TOO_LARGE or INVALID_REQUEST, and with ENGINE_UNAVAILABLE when such a fault is in the parameters of an
    engine that this build does not have; nothing else.
    """
    if not value:
        raise Rejected(Code.INVALID_REQUEST, "The record has no value.", field=BODY, allowed="a JSON object")
    if len(value) > MAX_ENVELOPE_BYTES:
        raise Rejected(
            Code.MESSAGE_TOO_LARGE,
            f"The record has {len(value)} bytes; media files belong in the bucket, the record only references them.",
            field=BODY,
            allowed=f"at most {MAX_ENVELOPE_BYTES} bytes",
        )
    text = json_text(value)
    try:
        request = RenderRequest.model_validate_json(text, extra="forbid")
    except ValidationError as error:
        problem = explain(error)
        raise Rejected(Code.INVALID_REQUEST, problem.message, field=problem.field, allowed=problem.allowed) from error
    for fault in _faults(_load(text), ()):
        if fault.path.startswith("engine_params."):
            check_engine_params(request)  # Its message also gives the range.
        raise Rejected(Code.INVALID_REQUEST, f"{fault.path} {fault.message}.", field=fault.path, allowed=fault.allowed)
    return request


@dataclass(frozen=True, slots=True)
class _Fault:
    path: str
    message: str
    """The sentence about the path, without its subject."""
    allowed: str | None = None


class _DuplicateName(dict[str, Any]):
    """An object in which a name occurs twice."""

    name = ""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    duplicate, seen = _DuplicateName(members), set[str]()
    for name, _ in pairs:
        if name in seen:
            duplicate.name = name
            break
        seen.add(name)
    return duplicate


def _load(value: bytes) -> object:
    """Parse again for what a model no longer shows; the first parser has checked that the JSON is bounded."""
    try:
        loaded: object = json.loads(value.decode(), object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        raise Rejected(Code.INVALID_REQUEST, "The record is not valid JSON.", field=BODY) from error
    return loaded


def _faults(node: object, path: tuple[str, ...]) -> Iterator[_Fault]:
    if isinstance(node, _DuplicateName):
        yield _Fault(".".join((*path, printable_name(node.name))), "occurs twice in one object")
    if isinstance(node, dict):
        for name, member in node.items():
            member_path = (*path, printable_name(name))
            if character := find_control_character(name):
                message = f"has a control character in its name ({character})"
                yield _Fault(".".join(member_path), message, ALLOWED_TEXT)
            yield from _faults(member, member_path)
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _faults(item, (*path, str(index)))
    elif isinstance(node, float) and not math.isfinite(node):
        yield _Fault(".".join(path), "must be a finite number, not NaN or Infinity")
    elif isinstance(node, str) and (character := find_control_character(node)):
        yield _Fault(".".join(path), f"contains a control character ({character})", ALLOWED_TEXT)
