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
from typing import Any

from shared.telemetry.attributes import SPAN_ATTRIBUTES, Kind

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


_RENDER = frozenset(
    [
        *("render.job", "engine", "outcome", "error.type", "attempts", "replays", "inference.steps", "dynamic.scale"),
        *("expand.ratio", "video.resolution", "video.duration_s", "video.format", "audio.duration_s"),
        *("audio.duration_asked_s", "audio.duration_gap_ms", "container.drift_ms", "lip.offset_ms", "audio.drift_ms"),
        *("render.quality", "queue.wait_ms", "seconds.audio", "seconds.face", "seconds.infer", "seconds.encode"),
        *("gpu.seconds", "cpu.seconds", "tenant", "tenant.department", "owner.hash", "render.date"),
        *("render.non_optimal", "render.slow", "render.rejection"),
    ]
)
_LATER = {
    **dict.fromkeys(("attempts", "replays"), Kind.INT),
    **dict.fromkeys(("render.date", "render.rejection"), Kind.NAME),
    **dict.fromkeys(("render.non_optimal", "render.slow"), Kind.BOOL),
}


def _queried() -> list[tuple[str, Kind, str, str]]:
    """Key, kind, unit and description of each queried attribute.

    A registry without units, descriptions and uses is read by the names above.
    """
    registered: dict[str, Any] = {**_LATER, **SPAN_ATTRIBUTES}
    found = []
    for key, one in registered.items():
        use = getattr(one, "use", None)
        if key in _RENDER if use is None else use.name == "QUERIED":
            found.append((key, getattr(one, "kind", one), getattr(one, "unit", ""), getattr(one, "description", "")))
    return found


@cache
def fields() -> Mapping[str, Field]:
    """Every field by its key, sorted."""
    queried = [
        Field(key, _TYPES[kind], unit, description, f"span.{key}") for key, kind, unit, description in _queried()
    ]
    return {field.key: field for field in sorted((*queried, *_OTHERS), key=lambda field: field.key)}


def near(key: str) -> list[str]:
    """Keys that may have been meant: of similar spelling, or with the same last part."""
    names = list(fields())
    words = set(key.lower().replace("_", ".").split("."))
    similar = get_close_matches(key.lower(), names, 3, 0.6)
    related = [name for name in names if len(words & set(name.replace("_", ".").split("."))) >= min(2, len(words))]
    return list(dict.fromkeys([*related, *similar]))[:3]
