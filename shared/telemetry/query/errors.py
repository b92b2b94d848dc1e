"""The exception of the query language, with stable codes for scripts."""

from enum import StrEnum

SHOWN = 70
"""Characters of a long expression that a message repeats."""


class QueryCode(StrEnum):
    """The stable code of a refused expression."""

    SYNTAX = "QUERY_SYNTAX"
    UNKNOWN_ATTRIBUTE = "QUERY_UNKNOWN_ATTRIBUTE"
    WRONG_TYPE = "QUERY_WRONG_TYPE"
    TOO_LONG = "QUERY_TOO_LONG"


class QueryError(ValueError):
    """An expression is refused. ``position`` counts characters from 0, ``length`` is that of the faulty text."""

    def __init__(
        self, code: QueryCode, message: str, text: str, position: int = 0, length: int = 1, hint: str | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.text = text
        self.position = position
        self.length = max(length, 1)
        self.hint = hint

    @property
    def pointer(self) -> tuple[str, str]:
        """The expression around the fault on one line, and a line that underlines the fault."""
        begin = 0 if len(self.text) <= SHOWN else max(0, self.position - SHOWN // 2)
        cut = "..." if begin else ""
        shown = "".join(c if c.isprintable() else "?" for c in self.text[begin : begin + SHOWN])
        before = len(cut) + self.position - begin
        return cut + shown, " " * before + "^" + "~" * (min(self.length, SHOWN - (self.position - begin)) - 1)
