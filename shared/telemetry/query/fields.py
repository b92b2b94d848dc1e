"""What an expression can ask for: the queried attributes of the `render` span, its duration, and its service's version.

The registry of attributes decides names and types. TraceQL compares an int literal with int attributes only, a float
literal with float attributes only, and a duration with no attribute at all: each literal is written in the type of its
attribute.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from functools import cache

from shared.telemetry.attributes import SPAN_ATTRIBUTES, Kind, Use

SPAN = "render"
"""Name of the summary span: it carries every queried attribute."""
DURATION = "duration"
VERSION = "service.version"


class Type(Enum):
    """Type of a field's values."""

    INT = "whole number"
    FLOAT = "number"
    BOOL = "true or false"
    TEXT = "text"
    DURATION = "duration"


@dataclass(frozen=True, slots=True)
class Field:
    """Something that an expression can ask for, and its name in TraceQL."""

    key: str
    type: Type
    unit: str
    description: str
    traceql: str


_TYPES = {Kind.INT: Type.INT, Kind.FLOAT: Type.FLOAT, Kind.BOOL: Type.BOOL, Kind.NAME: Type.TEXT, Kind.TEXT: Type.TEXT}
_OTHERS = (
    Field(DURATION, Type.DURATION, "s", "From the submission to the end of the job: 60s, 2m, 1.5h.", "duration"),
    Field(VERSION, Type.TEXT, "", "Version of the service that ended the job.", "resource.service.version"),
)


@cache
def fields() -> Mapping[str, Field]:
    """Every field by its key, sorted."""
    queried = [
        Field(one.key, _TYPES[one.kind], one.unit, one.description, f"span.{one.key}")
        for one in SPAN_ATTRIBUTES.values()
        if one.use is Use.QUERIED
    ]
    return {field.key: field for field in sorted((*queried, *_OTHERS), key=lambda field: field.key)}


def near(key: str) -> list[str]:
    """Keys that may have been meant: of similar spelling, or with the same last part."""
    names = list(fields())
    words = set(key.lower().replace("_", ".").split("."))
    similar = get_close_matches(key.lower(), names, 3, 0.6)
    related = [name for name in names if len(words & set(name.replace("_", ".").split("."))) >= min(2, len(words))]
    return list(dict.fromkeys([*related, *similar]))[:3]
