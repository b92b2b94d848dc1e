"""What the parameters of a request may be, for programs and for the page: read from the models of the request."""

from functools import cache
from typing import Any

from pydantic import BaseModel

from shared.messages.engines import ENGINE_PARAMS
from shared.messages.refs import InputRef
from shared.messages.request import Params, RenderRequest
from shared.messages.validation import advice
from shared.messages.validation.wording import describe, resolve

TYPES = ("integer", "number", "string", "boolean")
_NOBODY = InputRef(key="default/none")


@cache
def of_model(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """Every parameter by name: type, range or choices, default, meaning and advice; null where there is none."""
    schema = model.model_json_schema()
    defs = schema.get("$defs", {})
    found = {}
    for name, field in model.model_fields.items():
        node = resolve(schema["properties"][name], defs)
        kind = str(node.get("type"))
        found[name] = {
            "type": kind if kind in TYPES else "any",
            "minimum": node.get("minimum"),
            "maximum": node.get("maximum"),
            "multiple_of": node.get("multipleOf"),
            "choices": node.get("enum"),
            "default": None if field.is_required() else field.default,
            "about": field.description or "",
            **(_advice(name, node) if model is Params else {"advice": None, "advised_minimum": None}),
            "values": describe(schema["properties"][name], defs),
        }
    return found


def _advice(name: str, node: Any) -> dict[str, Any]:
    """What the services advise against: the smallest value without a warning, and the words of the warning."""
    nothing = {"advice": None, "advised_minimum": None}
    if node.get("type") != "integer" or "maximum" not in node:
        return nothing
    step = int(node.get("multipleOf", 1))
    values = range(int(node["minimum"]), min(int(node["maximum"]), int(node["minimum"]) + 1000) + 1, step)
    warned = [(value, given) for value in values if (given := _warnings(name, value))]
    if not warned or len(warned) == len(values):
        return nothing
    words = warned[-1][1].partition(": ")[2]
    return {"advice": words[:1].upper() + words[1:], "advised_minimum": warned[-1][0] + step}


def _warnings(name: str, value: int) -> str:
    request = RenderRequest(portrait=_NOBODY, speech=_NOBODY, params=Params.model_validate({name: value}))
    return " ".join(one.message for one in advice(request))


@cache
def of_engines() -> dict[str, dict[str, dict[str, Any]]]:
    """The parameters of each engine."""
    return {engine: of_model(model) for engine, model in ENGINE_PARAMS.items()}
