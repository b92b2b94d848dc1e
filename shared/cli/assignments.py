"""``--set name=value`` and manifest cells: names are resolved, values are JSON, the request model judges."""

import difflib
import json
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from shared.cli.errors import BadUse
from shared.messages.engines import ENGINE_PARAMS
from shared.messages.request import Params, RenderRequest

Path = tuple[str, ...]
Fields = dict[str, JsonValue]

RESERVED = {
    "portrait": "give the portrait as a file",
    "speech": "give the speech as a file",
    "job_id": "use --job-id",
    "engine": "use --engine",
    "tenant": "use --tenant",
    "params": "set one parameter, as params.dynamic_scale=1.2",
    "batch": "use submit --batch",
}
"""Fields that have a way of their own."""
SECTIONS = ("params", "engine_params", "labels", "output")
"""Fields with members: ``section.member``."""
SHORT: dict[str, Path] = {"steps": ("params", "inference_steps")}
"""Names that people use for longer ones."""


def parse_value(text: str) -> JsonValue:
    """JSON where the text is JSON, else the text itself: ``1.5``, ``true``, ``[1, 2]``, ``face``."""
    try:
        value: JsonValue = json.loads(text)
    except ValueError:
        return text
    return value


def resolve(name: str, engine: str) -> Path:
    """Where a name belongs in the request: a full path, or the bare name of a field or parameter.

    Raises BadUse for a name that no request has, with the nearest one that it has.
    """
    section, dot, member = name.partition(".")
    top = set(RenderRequest.model_fields)
    engine_params = set(ENGINE_PARAMS[engine].model_fields) if engine in ENGINE_PARAMS else set()
    if dot and section in SECTIONS and member:
        known = {"params": set(Params.model_fields), "engine_params": engine_params or {member}}.get(section, {member})
        if member in known:
            return section, member
    elif name in SHORT:
        return SHORT[name]
    elif not dot and name in RESERVED:
        raise BadUse(f"--set can't change {name}", RESERVED[name])
    elif not dot and name in top:
        return (name,)
    elif not dot and name in Params.model_fields:
        return "params", name
    elif not dot and name in engine_params:
        return "engine_params", name
    possible = sorted((top - set(RESERVED) - set(SECTIONS)) | set(Params.model_fields) | engine_params)
    near = difflib.get_close_matches(member or section, possible, n=1)
    raise BadUse(
        f"no request has a field {name!r}",
        f"did you mean {near[0]}?" if near else f"possible names: {', '.join(possible)}",
    )


TEXT = {("department",), ("owner",), ("lane",)}
"""Fields that hold text, whatever it looks like; so do labels and output."""


def value_at(path: Path, text: str) -> JsonValue:
    """The value of the field at ``path``: text where the field holds text (a label ``7``), else JSON."""
    return text if path in TEXT or path[0] in ("labels", "output") else parse_value(text)


def put(fields: Fields, path: Path, value: JsonValue) -> None:
    """Set one value, one or two levels deep."""
    if len(path) == 1:
        fields[path[0]] = value
        return
    section = fields.setdefault(path[0], {})
    if not isinstance(section, dict):
        raise BadUse(f"{path[0]} has been set as a whole; {'.'.join(path)} can't be set as well")
    section[path[1]] = value


def parse(assignments: Iterable[str], engine: str) -> Fields:
    """Fields of a request from ``name=value`` texts. Raises BadUse."""
    fields: Fields = {}
    for text in assignments:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise BadUse(f"--set {text!r} is not of the form name=value", "for example --set dynamic_scale=1.2")
        path = resolve(name.strip(), engine)
        put(fields, path, value_at(path, value.strip()))
    return fields


def merged(base: Mapping[str, JsonValue], over: Mapping[str, JsonValue]) -> Fields:
    """Two sets of fields as one; ``over`` wins, sections are joined member by member."""
    result: Fields = dict(base)
    for name, value in over.items():
        below = result.get(name)
        result[name] = {**below, **value} if isinstance(below, dict) and isinstance(value, dict) else value
    return result
