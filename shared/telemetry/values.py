"""Types of attribute values, and conversion to them: a value in another type is found by no query.

TraceQL compares an int literal with int attributes only, and the SDK turns NumPy scalars into strings.
"""

import math
import re
from enum import Enum

from opentelemetry.util.types import AttributeValue

from shared.telemetry.scrubbing import scrubbed

_NAME = re.compile(r"[\w.:@+\[\]-]{1,249}")
"""249 is the longest name of a topic."""
_INT64 = range(-(2**63), 2**63)


class Kind(Enum):
    """Type of an attribute's value."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    NAME = "name"
    """A short word of a limited alphabet; other values, as paths, are dropped."""
    TEXT = "text"
    """Free text, scrubbed and cut."""


def native(value: object) -> object:
    """A NumPy scalar as the Python value of it, anything else as it is. NumPy is not imported: services have none."""
    item = getattr(value, "item", None)
    if getattr(value, "shape", None) == () and callable(item):
        return item()
    return value


def _number(value: object) -> float | int | None:
    """A finite number, else None. A number as text, which the SDK makes of a NumPy scalar, is parsed."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    try:
        return value if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:  # An int beyond any float; the other spans of the batch must not be lost.
        return None


def typed(value: object, kind: Kind) -> AttributeValue | None:
    """The value in its registered type; None when it does not fit: NaN, an int beyond 64 bits, a path as a name."""
    value = native(value)
    match kind:
        case Kind.INT:
            number = _number(value)
            return rounded if number is not None and (rounded := round(number)) in _INT64 else None
        case Kind.FLOAT:
            number = _number(value)
            return None if number is None else float(number)
        case Kind.BOOL:
            return value if isinstance(value, bool) else {"True": True, "False": False}.get(str(value))
        case Kind.NAME:
            text = str(value)
            return text if _NAME.fullmatch(text) else None
        case Kind.TEXT:
            return scrubbed(str(value))
