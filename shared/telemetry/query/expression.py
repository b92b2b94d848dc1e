"""A checked expression, and whether a span satisfies it.

An expression has no negation: ``not`` is moved into the comparisons while it is read. So a span that lacks an attribute
satisfies no comparison with it, also no negated one, in every back end alike.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from shared.telemetry.query.fields import Field, Type

Scalar = bool | int | float | str
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
OPPOSITE = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_PYTHON: dict[Type, type] = {
    Type.INT: int,
    Type.FLOAT: float,
    Type.BOOL: bool,
    Type.TEXT: str,
    Type.DURATION: int,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field against a value of the field's type; a duration in nanoseconds."""

    field: Field
    operator: str
    value: Scalar

    def matches(self, value: Scalar | None) -> bool:
        """Whether the value of a span satisfies it. A value of another type does not, as in TraceQL."""
        return type(value) is _PYTHON[self.field.type] and bool(OPERATORS[self.operator](value, self.value))


@dataclass(frozen=True, slots=True)
class And:
    """Every part holds."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part holds."""

    parts: tuple["Expression", ...]


Expression = Comparison | And | Or


def negated(expression: Expression) -> Expression:
    """The opposite for every span that has the attributes."""
    match expression:
        case Comparison(field, operator, value):
            return Comparison(field, OPPOSITE[operator], value)
        case And(parts):
            return Or(tuple(map(negated, parts)))
        case Or(parts):
            return And(tuple(map(negated, parts)))


def matches(expression: Expression, value_of: Callable[[str], Scalar | None]) -> bool:
    """Whether a span satisfies the expression; ``value_of`` returns its value by key, None for one that it lacks."""
    match expression:
        case Comparison() as comparison:
            return comparison.matches(value_of(comparison.field.key))
        case And(parts):
            return all(matches(part, value_of) for part in parts)
        case Or(parts):
            return any(matches(part, value_of) for part in parts)


def keys(expression: Expression) -> tuple[str, ...]:
    """The keys that the expression names, each once, in its order."""
    return tuple(dict.fromkeys(_keys(expression)))


def _keys(expression: Expression) -> Iterator[str]:
    if isinstance(expression, Comparison):
        yield expression.field.key
    else:
        for part in expression.parts:
            yield from _keys(part)
