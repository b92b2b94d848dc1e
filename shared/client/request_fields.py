"""Names and values of request fields as people write them: short names are resolved, values are JSON or text."""

import difflib
import functools
import json
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from shared.client.errors import InvalidRequest
from shared.messages.engines import ENGINE_PARAMS
from shared.messages.request import Params, RenderRequest

FieldPath = tuple[str, ...]
"""One name, or a section and a member."""
Fields = dict[str, JsonValue]

SECTIONS = ("params", "engine_params", "labels", "output")
"""Fields with members: ``section.member``."""
OWN_ARGUMENTS = ("portrait", "speech", "job_id", "engine", "tenant", "params", "batch")
"""Fields that are never set by name: each has an argument or a command of its own."""
SHORT: dict[str, FieldPath] = {"steps": ("params", "inference_steps")}
"""Names that people use for longer ones."""
TEXT = {("department",), ("owner",), ("consent",), ("lane",), ("output", "bucket"), ("output", "prefix")}
"""Fields that hold text, whatever it looks like; so do labels."""


def parse_value(text: str) -> JsonValue:
    """JSON where the text is JSON, else the text itself: ``1.5``, ``true``, ``[1, 2]``, ``face``."""
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return {"true": True, "false": False}.get(text.lower(), text)  # Spreadsheets write TRUE and FALSE.
    return value


def resolve(name: str, engine: str, also: Iterable[str] = ()) -> FieldPath:
    """The path of a field in the request, from its full path or from the bare name of a field or parameter.

    ``also`` are names that the caller accepts beside these. Raises InvalidRequest for a name that no request has, with
    the nearest name and all names that it has.
    """
    section, dot, member = name.partition(".")
    top = set(RenderRequest.model_fields) - set(OWN_ARGUMENTS)
    engine_params = set(ENGINE_PARAMS[engine].model_fields) if engine in ENGINE_PARAMS else set()
    if dot and section in SECTIONS and member:
        known = {"params": set(Params.model_fields), "engine_params": engine_params or {member}}.get(section, {member})
        if member in known:
            return section, member
    elif name in SHORT:
        return SHORT[name]
    elif not dot and name in OWN_ARGUMENTS:
        raise InvalidRequest(f"{name} can't be set by name", "it has an argument of its own")
    elif not dot and name in top:
        return (name,)
    elif not dot and name in Params.model_fields:
        return "params", name
    elif not dot and name in engine_params:
        return "engine_params", name
    others = [other for other, model in ENGINE_PARAMS.items() if (member or section) in model.model_fields]
    if others and engine not in others:
        raise InvalidRequest(f"{name} is a parameter of the engine {others[0]}, not of {engine}", "choose that engine")
    possible = sorted((top - set(SECTIONS)) | set(Params.model_fields) | engine_params | set(also))
    near = _nearest((member or section).lower(), tuple(possible))
    nearest = f"did you mean {near}? " if near else ""
    raise InvalidRequest(f"no request has a field {name!r}", f"{nearest}possible names: {', '.join(possible)}")


@functools.lru_cache(maxsize=64)
def _nearest(word: str, possible: tuple[str, ...]) -> str | None:
    """The most similar name. Remembered, because a manifest has the same misspelt field in every row."""
    return next(iter(difflib.get_close_matches(word, possible, n=1)), None)


def value_of(path: FieldPath, text: str) -> JsonValue:
    """The value of the field at ``path``: text where the field holds text (a label ``7``), else JSON."""
    return text if path in TEXT or path[0] == "labels" else parse_value(text)


def put(fields: Fields, path: FieldPath, value: JsonValue) -> None:
    """Set one value, one or two levels deep. Raises InvalidRequest when the section has been set as a whole."""
    if len(path) == 1:
        fields[path[0]] = value
        return
    section = fields.setdefault(path[0], {})
    if not isinstance(section, dict):
        raise InvalidRequest(f"{path[0]} has been set as a whole; {'.'.join(path)} can't be set as well")
    section[path[1]] = value


def merged(base: Mapping[str, JsonValue], over: Mapping[str, JsonValue]) -> Fields:
    """Two sets of fields as one; ``over`` wins, sections are joined member by member."""
    result: Fields = dict(base)
    for name, value in over.items():
        lower = result.get(name)
        result[name] = {**lower, **value} if isinstance(lower, dict) and isinstance(value, dict) else value
    return result
