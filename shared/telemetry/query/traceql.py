"""An expression as TraceQL, for Tempo."""

import json
from collections.abc import Iterable
from decimal import Decimal

from shared.telemetry.query.expression import And, Comparison, Expression, Or, Scalar
from shared.telemetry.query.fields import DURATION, SPAN, Type, fields


def search(expression: Expression | None, shown: Iterable[str]) -> str:
    """The query for the newest `render` spans that satisfy the expression, with the attributes ``shown``.

    Tempo returns the first spans that it finds unless `most_recent` is set.
    """
    condition = f'name = "{SPAN}"' if expression is None else f'name = "{SPAN}" && {condition_of(expression)}'
    columns = ", ".join(fields()[key].traceql for key in shown if key != DURATION)
    selected = f" | select({columns})" if columns else ""
    return f"{{ {condition} }}{selected} with (most_recent=true)"


def condition_of(expression: Expression) -> str:
    """The expression as a condition inside of `{ }`, in parentheses where it has several parts."""
    match expression:
        case Comparison(field, operator, value):
            return f"{field.traceql} {operator} {_literal(field.type, value)}"
        case And(parts):
            return f"({' && '.join(map(condition_of, parts))})"
        case Or(parts):
            return f"({' || '.join(map(condition_of, parts))})"


def _literal(kind: Type, value: Scalar) -> str:
    match kind:
        case Type.INT:
            return str(value)
        case Type.FLOAT:
            return _float(float(value))
        case Type.BOOL:
            return "true" if value else "false"
        case Type.TEXT:
            return json.dumps(value, ensure_ascii=False)
        case Type.DURATION:
            return f"{value}ns"


def _float(value: float) -> str:
    """Always with a point, never with an exponent: TraceQL takes `20` for an int."""
    text = format(Decimal(repr(value)), "f")
    return text if "." in text else f"{text}.0"
