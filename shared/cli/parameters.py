"""The names that ``--set`` takes, with kind, range, default and meaning: read from the models of the request."""

import json
from collections.abc import Container
from dataclasses import dataclass

from pydantic import BaseModel

from shared.messages.engines import DEFAULT_ENGINE, ENGINE_PARAMS
from shared.messages.refs import OutputRef
from shared.messages.request import Params, RenderRequest
from shared.messages.validation.wording import describe

# Not imported from the client library, which takes half a second: completion would be slow.
FIELDS = ("department", "owner", "consent", "lane", "deadline_s")
"""Fields of the request that have no argument of their own and no members."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One name and what it takes."""

    name: str
    values: str
    """Kind and range in words: ``a whole number, 1 to 100``."""
    default: str
    """As JSON; empty when the field is left out by default."""
    about: str

    @property
    def text(self) -> str:
        """Meaning, then kind, range and default in brackets."""
        limits = f"[{self.values}{f'; default: {self.default}' if self.default else ''}]"
        return f"{self.about} {limits}" if self.about else limits


def groups(engine: str | None = None) -> dict[str, list[Parameter]]:
    """Parameters of every engine, of each engine (or of ``engine`` alone), and fields of the request, by title."""
    engines = {name: model for name, model in ENGINE_PARAMS.items() if engine in (None, name)}
    return {
        "Parameters of every engine (--set)": _parameters(Params),
        **{
            f"Parameters of the engine {name}{', the default' if name == DEFAULT_ENGINE else ''}": _parameters(model)
            for name, model in engines.items()
        },
        "Fields of the request (--set)": [
            *_parameters(RenderRequest, FIELDS),
            Parameter("labels.NAME", "text of at most 64 characters", "", "A label, copied into every event."),
            *_parameters(OutputRef, prefix="output."),
        ],
    }


def _parameters(model: type[BaseModel], names: Container[str] | None = None, prefix: str = "") -> list[Parameter]:
    schema = model.model_json_schema()
    return [
        Parameter(
            prefix + name,
            describe(schema["properties"][name], schema.get("$defs", {})),
            "" if field.is_required() or field.default is None else _default(field.default),
            field.description or "",
        )
        for name, field in model.model_fields.items()
        if names is None or name in names
    ]


def _default(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
