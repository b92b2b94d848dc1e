"""A validation error as one problem that a user can fix: the field as written, a sentence, and what is allowed."""

import difflib
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shared.messages.request import RenderRequest
from shared.messages.validation.wording import Node, allowed_values, describe, join_words, resolve

BODY = "body"
"""Field name for the record's value as a whole."""
MAX_NAME = 64
"""Characters of a name from the request that an error message repeats."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong and how to fix it."""

    field: str
    """Dotted path, for example ``params.inference_steps``; ``body`` for the record as a whole."""
    message: str
    """One sentence. It repeats numbers and names of unknown fields, never text values: those may be personal."""
    allowed: str | None
    """The accepted range or set, from the model's own JSON schema."""


def explain(error: ValidationError, model: type[BaseModel] = RenderRequest, within: str = "") -> Problem:
    """The most useful of the errors that ``model`` reported.

    A misspelt name explains a missing one, so unknown fields come first and missing ones last. ``within`` is the
    path of the validated object when it is a part of the request, for example ``engine_params``.
    """
    errors = [(detail, _locate(model, detail["loc"], within)) for detail in error.errors(include_url=False)]
    rank = {"extra_forbidden": 0, "missing": 2}
    detail, location = min(errors, key=lambda pair: rank.get(pair[0]["type"], 1))
    same_field = [d for d, p in errors if p.field == location.field]
    message = _sentence(detail, same_field, location)
    others = len({p.field for _, p in errors}) - 1
    if others:
        message += f" ({others} more {'problem' if others == 1 else 'problems'})"
    return Problem(location.field, message, location.allowed)


@dataclass(frozen=True, slots=True)
class _Location:
    """The place of an error in the request, and the schema of that place."""

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
            return join_words(list(self.siblings), "and") if self.siblings else "no fields"
        return allowed_values(self.node, self.defs)


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _locate(model: type[BaseModel], loc: tuple[int | str, ...], within: str) -> _Location:
    """Follow the location of an error through the schema, up to a union: its branches have no name for users."""
    schema = _schema(model)
    defs: Node = schema.get("$defs", {})
    node: Node | None = schema
    parent: Node = schema
    path = [within] if within else []
    for part in loc:
        if node is None or "anyOf" in (resolved := resolve(node, defs)):
            break
        if part == "[key]" and "propertyNames" in parent:
            node = {"type": "string", **parent["propertyNames"]}
            break
        parent = resolved
        path.append(printable_name(str(part)))
        if part in resolved.get("properties", {}):
            node = resolved["properties"][part]
        elif isinstance(resolved.get("additionalProperties"), dict):
            node = resolved["additionalProperties"]
        else:
            node = None
    return _Location(".".join(path) or BODY, node, tuple(parent.get("properties", {})), defs)


def _sentence(detail: ErrorDetails, same_field: list[ErrorDetails], location: _Location) -> str:
    field, given = location.field, detail["input"]
    if detail["type"] == "json_invalid":
        return f"The record is not valid JSON: {detail['ctx']['error']}."
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(field.rsplit(".", 1)[-1], location.siblings, n=1)
        return f"{field} is not a known field." + (f" Did you mean {near[0]}?" if near else "")
    if detail["type"] == "missing":
        return f"{field} is required."
    if field == BODY:
        return "The record must be a JSON object."
    for one in same_field:
        if one["type"] == "value_error":
            return f"{field}: {one['ctx']['error']}."
    if isinstance(given, float) and not math.isfinite(given):
        return f"{field} must be a finite number, not NaN or Infinity."
    if location.node is None:
        return f"{field} is not accepted here."
    near = difflib.get_close_matches(given, _choices(location), n=1) if isinstance(given, str) else []
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"{field} must be {describe(location.node, location.defs)}{_given(given, location)}.{hint}"


def _choices(location: _Location) -> list[str]:
    return [str(v) for v in resolve(location.node or {}, location.defs).get("enum", ())]


def _given(value: object, location: _Location) -> str:
    """What was given instead, when that helps and is not personal."""
    expected = resolve(location.node or {}, location.defs)
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


def printable_name(name: str) -> str:
    """A name from the request, cut and made printable."""
    clean = name if name.isprintable() else "".join(c if c.isprintable() else "?" for c in name)
    return clean if len(clean) <= MAX_NAME else clean[:MAX_NAME] + "..."
