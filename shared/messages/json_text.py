"""Bytes of a record as JSON text, without a byte order mark, and as a strictly read value."""

import json
import math
from codecs import BOM_UTF8
from typing import Any


def json_text(value: bytes) -> bytes:
    """The value without a UTF-8 byte order mark. RFC 8259 lets a reader ignore one; pydantic and ``json`` refuse it."""
    return value.removeprefix(BOM_UTF8)


def strict_json(value: bytes) -> object:
    """Read UTF-8 JSON with the rules of ``parse_request``: no duplicate name in an object, no number beyond JSON.

    Raises ValueError, and nothing else, for any other value and for one that is nested too deeply.
    """
    try:
        read: object = json.loads(
            json_text(value).decode(), object_pairs_hook=_members, parse_float=_number, parse_constant=_number
        )
    except RecursionError as error:
        raise ValueError("the value is nested too deeply") from error
    return read


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return members


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is not finite")
    return number
