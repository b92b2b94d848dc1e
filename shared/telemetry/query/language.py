"""Reads an expression over renders: `inference.steps > 20 and audio.drift_ms > 100`.

::

    expression:  comparison | expression and expression | expression or expression | not expression | ( expression )
    comparison:  ATTRIBUTE OPERATOR VALUE | ATTRIBUTE        an attribute that is true or false needs no value
    OPERATOR:    = == != < <= > >=
    VALUE:       20 | 0.85 | -40 | true | false | "puppet" | 'puppet' | 60s 2m 1.5h 250ms (for `duration`)

`not` binds more tightly than `and`, and that more than `or`; `!`, `&&` and `||` mean the same. docs/queries.md has
examples.
"""

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import VisitError

from shared.telemetry.query.errors import QueryCode, QueryError
from shared.telemetry.query.expression import And, Comparison, Expression, Or, negated
from shared.telemetry.query.fields import Field, Type, fields, near

MAX_CHARACTERS = 1000
"""Of an expression."""
MAX_NEGATIONS = 50
"""Of an expression; `not not not x` counts as one. Each is a level of the tree, which is read by recursion: parentheses
alone add none, and of the levels with `and` or `or` few fit into MAX_CHARACTERS."""
MAX_INT = 2**63 - 1
_GRAMMAR = r"""
?start: either
?either: both (("or" | "||") both)*
?both: unary (("and" | "&&") unary)*
?unary: NOT+ operand -> negation
      | operand
?operand: "(" either ")"
        | comparison
comparison: KEY OPERATOR value -> comparison
          | KEY -> flag
!value: NUMBER | LENGTH | TEXT | "true" | "false" | KEY

NOT.2: /not(?![A-Za-z0-9_.])|!(?!=)/
KEY: /[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*/
OPERATOR: /==|!=|<=|>=|=|<|>/
LENGTH.2: /[0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h)\b/
NUMBER: /[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?/
TEXT: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/
%import common.WS
%ignore WS
"""
_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_NAMES = {
    "KEY": "an attribute", "OPERATOR": "= != < <= > or >=", "NUMBER": "a number", "TEXT": "a quoted text",
    "LENGTH": "a duration", "TRUE": "true", "FALSE": "false", "AND": "and", "OR": "or", "NOT": "not", "LPAR": "(",
    "RPAR": ")", "$END": "the end",
}  # fmt: skip


def parse(text: str) -> Expression:
    """The expression that ``text`` is.

    Raises QueryError, with the position, for text that is not an expression, an attribute that is not queried, or a
    value of another type.
    """
    if len(text) > MAX_CHARACTERS:
        message = f"the expression has {len(text)} characters; at most {MAX_CHARACTERS} are read"
        raise QueryError(QueryCode.TOO_LONG, message, text[:40])
    try:
        tree = _parser().parse(text)
        if sum(1 for part in tree.iter_subtrees() if part.data == "negation") > MAX_NEGATIONS:
            message = f"the expression has more than {MAX_NEGATIONS} negations"
            raise QueryError(QueryCode.TOO_LONG, message, text[:40])
        return _Checked(text).transform(tree)
    except UnexpectedInput as e:
        raise _syntax_error(text, e) from None
    except VisitError as e:
        raise e.orig_exc from None


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", propagate_positions=False)


def _syntax_error(text: str, error: UnexpectedInput) -> QueryError:
    token: Any = getattr(error, "token", None)
    names: Iterable[str] = getattr(error, "accepts", None) or getattr(error, "expected", None) or ()
    wanted = ", ".join(sorted({_NAMES[name] for name in names if name in _NAMES}))
    hint = f"expected: {wanted}" if wanted else None
    position = error.pos_in_stream if error.pos_in_stream is not None else len(text)
    if token is not None and token.type == "$END":
        return QueryError(QueryCode.SYNTAX, "the expression ends too early", text, len(text), hint=hint)
    found = str(token) if token is not None else text[position : position + 1]
    message = f"{found!r} at character {position + 1} is not understood there"
    return QueryError(QueryCode.SYNTAX, message, text, position, len(found), hint)


@v_args(inline=True)
class _Checked(Transformer[Token, Expression]):
    """Builds the expression, each value in the type of its attribute. Raises QueryError inside of a VisitError."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def either(self, *parts: Expression) -> Expression:
        return Or(parts)

    def both(self, *parts: Expression) -> Expression:
        return And(parts)

    def negation(self, *parts: Any) -> Expression:
        *signs, part = parts
        return negated(part) if len(signs) % 2 else part

    def value(self, token: Token) -> Token:
        return token

    def flag(self, key: Token) -> Expression:
        field = self._field(key)
        if field.type is not Type.BOOL:
            hint = f'compare it: {field.key} = "..."' if field.type is Type.TEXT else f"compare it: {field.key} > ..."
            raise self._error(key, f"{field.key} is a {field.type.value}, not true or false", hint)
        return Comparison(field, "=", True)

    def comparison(self, key: Token, operator: Token, value: Token) -> Expression:
        field, sign = self._field(key), "=" if operator == "==" else str(operator)
        if field.type is Type.BOOL and sign not in ("=", "!="):
            raise self._error(operator, f"{field.key} is true or false: it can't be compared by {sign}", None)
        match field.type:
            case Type.BOOL if value.type in ("TRUE", "FALSE"):
                return Comparison(field, sign, value.type == "TRUE")
            case Type.TEXT if value.type == "TEXT":
                return Comparison(field, sign, re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL))
            case Type.FLOAT if value.type == "NUMBER":
                return Comparison(field, sign, self._finite(value))
            case Type.INT if value.type == "NUMBER":
                return self._whole(field, sign, value)
            case Type.DURATION if value.type in ("NUMBER", "LENGTH"):
                return Comparison(field, sign, self._nanoseconds(value))
        raise self._wrong_type(field, value)

    def _field(self, key: Token) -> Field:
        found = fields().get(str(key))
        if found is None:
            hint = f"did you mean {' or '.join(meant)}?" if (meant := near(str(key))) else None
            raise QueryError(
                QueryCode.UNKNOWN_ATTRIBUTE, f"{key} is not a queried attribute", self._text, *_place(key), hint
            )
        return found

    def _finite(self, token: Token) -> float:
        value = float(token)
        if not math.isfinite(value):
            raise self._error(token, f"{token} is too large", None)
        return value

    def _whole(self, field: Field, operator: str, token: Token) -> Comparison:
        """A comparison with a whole number: `> 100.5` is `> 100`, `< 100.5` is `< 101`."""
        value = Decimal(str(token))
        whole = int(value.to_integral_value("ROUND_FLOOR" if operator in (">", "<=") else "ROUND_CEILING"))
        if abs(whole) > MAX_INT:
            raise self._error(token, f"{token} is too large", None)
        if operator in ("=", "!=") and whole != value:
            raise self._error(token, f"{field.key} is a whole number: it is never {token}", None)
        return Comparison(field, operator, whole)

    def _nanoseconds(self, token: Token) -> int:
        match = re.fullmatch(r"(.*?)([a-z]*)", str(token))
        assert match is not None
        value = Decimal(match[1]) * _NS[match[2] or "s"]
        if abs(value) > MAX_INT:
            raise self._error(token, f"{token} is too long", None)
        return int(value)

    def _wrong_type(self, field: Field, value: Token) -> QueryError:
        wanted = {
            Type.BOOL: "true or false", Type.TEXT: "a quoted text", Type.DURATION: "a duration, as 60s or 2m",
        }.get(field.type, "a number")  # fmt: skip
        hint = f'quote it: {field.key} = "{value}"' if field.type is Type.TEXT and value.type != "TEXT" else None
        if field.type in (Type.INT, Type.FLOAT) and value.type == "LENGTH":
            hint = f"{field.key} is in {field.unit}: write the number alone" if field.unit else "write the number alone"
        return self._error(value, f"{field.key} is compared with {wanted}, not with {value}", hint)

    def _error(self, token: Token, message: str, hint: str | None) -> QueryError:
        return QueryError(QueryCode.WRONG_TYPE, message, self._text, *_place(token), hint)


def _place(token: Token) -> tuple[int, int]:
    return token.start_pos or 0, len(token)
