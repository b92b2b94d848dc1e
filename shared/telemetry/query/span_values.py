"""What a stored span has for the keys of the query language."""

from collections.abc import Iterable

from shared.telemetry.query.expression import Scalar
from shared.telemetry.query.fields import DURATION, VERSION
from shared.telemetry.spans import StoredSpan


def value_of(span: StoredSpan, key: str) -> Scalar | None:
    """The span's value; None where it lacks the attribute."""
    if key == DURATION:
        return span.duration_ns
    return span.version or None if key == VERSION else span.attributes.get(key)


def values_of(span: StoredSpan, keys: Iterable[str]) -> dict[str, Scalar]:
    """The values of those keys that the span has; its duration is no attribute."""
    found = {key: value_of(span, key) for key in keys if key != DURATION}
    return {key: value for key, value in found.items() if value is not None}
