"""Numbers in messages as JSON Schema counts them: ``256.0`` is an integer, ``"256"`` and ``true`` are not.

Serialisers of Java, PHP and Lua write whole numbers with a fraction of zero.
"""

from typing import Annotated

from pydantic import BeforeValidator, Field, Strict

MAX_NUMBER = 2**53 - 1
"""The largest integer that every JSON reader represents exactly; also bounds numbers without a limit of their own."""


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


INTEGRAL = BeforeValidator(_whole)
"""Reads a float without a fraction as an integer. It stands behind the range in ``Annotated``: pydantic writes only
constraints of the integer itself into the schema."""
Integer = Annotated[int, Strict(), Field(ge=-MAX_NUMBER, le=MAX_NUMBER), INTEGRAL]
"""An integer without a range of its own."""
Natural = Annotated[int, Strict(), Field(ge=0, le=MAX_NUMBER), INTEGRAL]
"""A count or a size; may be 0."""
Positive = Annotated[int, Strict(), Field(ge=1, le=MAX_NUMBER), INTEGRAL]
Number = Annotated[float, Strict(), Field(ge=-MAX_NUMBER, le=MAX_NUMBER)]
"""A finite number without a range of its own."""
Boolean = Annotated[bool, Strict()]
