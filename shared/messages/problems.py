"""A validation error as one problem a user can mend: the field as they write it, a sentence, and what is allowed."""

import difflib
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shared.messages.request import RenderRequest
from shared.messages.wording import Node, allowed, described, listed, plain

BODY = "body"
"""Field name for the record's value as a whole."""
MAX_NAME = 64
"""Names the user made up are cut to this length before they are repeated to them."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong and how to put it right."""

    field: str
    """Dotted path, for example ``params.inference_steps``; ``body`` for the record as a whole."""
    message: str
    """One sentence. Repeats numbers and names of unknown fields, never text values: those may be personal."""
    allowed: str | None
    """The accepted range or set, from the model's own JSON schema."""


def explain(error: ValidationError, model: type[BaseModel] = RenderRequest, within: str = "") -> Problem:
    """The most useful of the errors that ``model`` found.

    A misspelt name explains a missing one, so unknown fields come first and missing ones last. ``within`` is the
    path of the validated object when it is a part of the request, for example ``engine_params``.
    """
    found = [(detail, _locate(model, detail["loc"], within)) for detail in error.errors(include_url=False)]
    rank = {"extra_forbidden": 0, "missing": 2}
    detail, place = min(found, key=lambda pair: rank.get(pair[0]["type"], 1))
    of_place = [d for d, p in found if p.field == place.field]
    message = _sentence(detail, of_place, place)
    others = len({p.field for _, p in found}) - 1
    if others:
        message += f" ({others} more {'problem' if others == 1 else 'problems'})"
    return Problem(place.field, message, place.allowed)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the request an error lies, and what its schema says."""

    field: str
    node: Node | None
    """None for a field the model does not know."""
    siblings: tuple[str, ...]
    """Known names beside it."""
    defs: Node

    @property
    def allowed(self) -> str | None:
        if self.field == BODY:
            return "a JSON object"
        if self.node is None:
            return listed(list(self.siblings), "and") if self.siblings else "no fields"
        return allowed(self.node, self.defs)


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _locate(model: type[BaseModel], loc: tuple[int | str, ...], within: str) -> _Place:
    """Follow an error's location through the schema; stops at a union, whose branches have no name for users."""
    schema = _schema(model)
    defs: Node = schema.get("$defs", {})
    node: Node | None = schema
    parent: Node = schema
    path = [within] if within else []
    for part in loc:
        if node is None or "anyOf" in (here := plain(node, defs)):
            break
        if part == "[key]" and "propertyNames" in parent:
            node = {"type": "string", **parent["propertyNames"]}
            break
        parent = here
        path.append(short(str(part)))
        if part in here.get("properties", {}):
            node = here["properties"][part]
        elif isinstance(here.get("additionalProperties"), dict):
            node = here["additionalProperties"]
        else:
            node = None
    return _Place(".".join(path) or BODY, node, tuple(parent.get("properties", {})), defs)


def _sentence(detail: ErrorDetails, of_place: list[ErrorDetails], place: _Place) -> str:
    field, given = place.field, detail["input"]
    if detail["type"] == "json_invalid":
        return f"The record is not valid JSON: {detail['ctx']['error']}."
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(field.rsplit(".", 1)[-1], place.siblings, n=1)
        return f"{field} is not a known field." + (f" Did you mean {near[0]}?" if near else "")
    if detail["type"] == "missing":
        return f"{field} is required."
    if field == BODY:
        return "The record must be a JSON object."
    for one in of_place:
        if one["type"] == "value_error":
            return f"{field}: {one['ctx']['error']}."
    if isinstance(given, float) and not math.isfinite(given):
        return f"{field} must be a finite number; NaN and Infinity are none."
    if place.node is None:
        return f"{field} is not accepted here."
    near = difflib.get_close_matches(given, _choices(place), n=1) if isinstance(given, str) else []
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"{field} must be {described(place.node, place.defs)}{_given(given, place)}.{hint}"


def _choices(place: _Place) -> list[str]:
    return [str(v) for v in plain(place.node or {}, place.defs).get("enum", ())]


def _given(value: object, place: _Place) -> str:
    """What was given instead, when that helps and tells nothing personal."""
    expected = plain(place.node or {}, place.defs)
    match value:
        case None:
            return "; it is null"
        case bool():
            return f"; it is {str(value).lower()}"
        case int() if value.bit_length() <= 64:
            return f"; it is {value}"
        case float():
            return f"; it is {value:g}"
        case list() | tuple():
            return "; it is a list"
        case dict() if expected.get("type") != "object":
            return "; it is an object"
        case str() if expected.get("type") in ("integer", "number", "boolean", "object", "array"):
            return "; it is text"
    return ""


def short(name: str) -> str:
    """A user's own name, cut and made printable."""
    clean = "".join(c if c.isprintable() else "?" for c in name)
    return clean if len(clean) <= MAX_NAME else clean[:MAX_NAME] + "..."
