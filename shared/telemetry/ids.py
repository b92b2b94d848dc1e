"""Span ids that are known before the span: of spans that a child process timed, and of the render's summary."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator

_preset: ContextVar[int | None] = ContextVar("preset_span_id", default=None)


class PresetIdGenerator(IdGenerator):
    """Random ids, but for the first span started inside ``preset_span_id``."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_span_id(self) -> int:
        span_id = _preset.get()
        if span_id is None:
            return self._random.generate_span_id()
        _preset.set(None)
        return span_id

    def generate_trace_id(self) -> int:
        return self._random.generate_trace_id()


@contextmanager
def preset_span_id(span_id: int) -> Iterator[None]:
    """Give this id to the first span that is started inside, in this context: 64 bits, not zero.

    Raises ValueError for an id that W3C Trace Context does not allow.
    """
    if not 0 < span_id < 1 << 64:
        raise ValueError(f"not a span id: {span_id:#x}")
    token = _preset.set(span_id)
    try:
        yield
    finally:
        _preset.reset(token)


def derived_span_id(*parts: str) -> int:
    """The same id for the same parts, in every process and on every redelivery."""
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big") or 1
