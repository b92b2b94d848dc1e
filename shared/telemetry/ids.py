"""Preset and derived ids: for spans that a worker process measured, the summary span of a render, a redelivery."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator

SPAN_BITS, TRACE_BITS = 64, 128

_span: ContextVar[int | None] = ContextVar("preset_span_id", default=None)
_trace: ContextVar[int | None] = ContextVar("preset_trace_id", default=None)


class PresetIdGenerator(IdGenerator):
    """Random ids, except for the first span in ``preset_span_id`` and the first trace in ``preset_trace_id``."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_span_id(self) -> int:
        return _take(_span) or self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        return _take(_trace) or self._random.generate_trace_id()


def _take(preset: ContextVar[int | None]) -> int | None:
    value = preset.get()
    preset.set(None)
    return value


@contextmanager
def _preset(variable: ContextVar[int | None], kind: str, value: int, bits: int) -> Iterator[None]:
    if not 0 < value < 1 << bits:
        raise ValueError(f"not a {kind} id: {value:#x}")
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


@contextmanager
def preset_span_id(span_id: int) -> Iterator[None]:
    """Give the first span that is started inside, in this context, this id: 64 bits, not zero.

    Raises ValueError for an id that W3C Trace Context does not allow.
    """
    with _preset(_span, "span", span_id, SPAN_BITS):
        yield


@contextmanager
def preset_trace_id(trace_id: int) -> Iterator[None]:
    """Give the first trace that is started inside, in this context, this id: 128 bits, not zero.

    Raises ValueError for an id that W3C Trace Context does not allow.
    """
    with _preset(_trace, "trace", trace_id, TRACE_BITS):
        yield


def derived_span_id(*parts: str) -> int:
    """A span id that is the same for the same parts, in every process and on every redelivery."""
    return _derived(parts, SPAN_BITS)


def derived_trace_id(*parts: str) -> int:
    """A trace id that is the same for the same parts, in every process and on every redelivery."""
    return _derived(parts, TRACE_BITS)


def _derived(parts: tuple[str, ...], bits: int) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[: bits // 8], "big") or 1
