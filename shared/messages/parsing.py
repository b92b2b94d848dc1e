"""A record's value as a render request: strict JSON in, a request or one rejection out."""

import json
import math
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from shared.messages.admission import check_engine_params
from shared.messages.codes import Code, Rejected
from shared.messages.problems import BODY, explain, short
from shared.messages.request import RenderRequest
from shared.messages.task import MAX_ENVELOPE_BYTES
from shared.messages.text import ALLOWED, hidden


def parse_request(value: bytes | None) -> RenderRequest:
    """Read the value of a record on ``render.requests``.

    Strict: UTF-8 JSON (RFC 8259), no unknown field at any depth, no number that JSON can't hold, no name twice in one
    object (readers disagree on which one counts), and no text that would steer the terminal it is shown on. Raises
    Rejected with MESSAGE_TOO_LARGE or INVALID_REQUEST, and ENGINE_UNAVAILABLE where one of the last stands among the
    parameters of an engine that this build lacks; nothing else.
    """
    if not value:
        raise Rejected(Code.INVALID_REQUEST, "The record has no value.", field=BODY, allowed="a JSON object")
    if len(value) > MAX_ENVELOPE_BYTES:
        raise Rejected(
            Code.MESSAGE_TOO_LARGE,
            f"The record has {len(value)} bytes; media go to the bucket, the record only names them.",
            field=BODY,
            allowed=f"at most {MAX_ENVELOPE_BYTES} bytes",
        )
    try:
        request = RenderRequest.model_validate_json(value, extra="forbid")
    except ValidationError as error:
        problem = explain(error)
        raise Rejected(Code.INVALID_REQUEST, problem.message, field=problem.field, allowed=problem.allowed) from error
    for path, message, allowed in _faults(_load(value), ()):
        if path.startswith("engine_params."):
            check_engine_params(request)  # knows the range as well
        raise Rejected(Code.INVALID_REQUEST, f"{path} {message}.", field=path, allowed=allowed)
    return request


class _Repeated(dict[str, Any]):
    """An object in which a name stands twice."""

    name = ""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeated, seen = _Repeated(found), set[str]()
    for name, _ in pairs:
        if name in seen:
            repeated.name = name
            break
        seen.add(name)
    return repeated


def _load(value: bytes) -> object:
    """A second reading that sees what a model no longer shows; the first has proved that it is bounded JSON."""
    try:
        loaded: object = json.loads(value.decode(), object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        raise Rejected(Code.INVALID_REQUEST, "The record is not valid JSON.", field=BODY) from error
    return loaded


def _faults(node: object, path: tuple[str, ...]) -> Iterator[tuple[str, str, str | None]]:
    """Place, what is wrong there, and what is allowed."""
    if isinstance(node, _Repeated):
        yield ".".join((*path, short(node.name))), "stands twice in one object", None
    if isinstance(node, dict):
        for name, inner in node.items():
            if found := hidden(name):
                yield ".".join((*path, short(name))), f"has a control character in its name ({found})", ALLOWED
            yield from _faults(inner, (*path, short(name)))
    elif isinstance(node, list):
        for at, inner in enumerate(node):
            yield from _faults(inner, (*path, str(at)))
    elif isinstance(node, float) and not math.isfinite(node):
        yield ".".join(path), "must be a finite number; NaN and Infinity are none", None
    elif isinstance(node, str) and (found := hidden(node)):
        yield ".".join(path), f"holds a control character ({found})", ALLOWED
