"""Spans of work that fails: the class or the public code of an error, and never its text.

The text of an exception quotes what it is about: the key of a user's object, the name of a file. No search for paths
and names finds all of that, as a key may be any words; so the text is in the log and in the event for the user alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from shared.telemetry.attributes import set_attributes


def failed(span: Span, error_type: str) -> None:
    """Mark the span as failed; ``error_type`` is a public code or the class of an exception."""
    span.set_status(Status(StatusCode.ERROR))
    set_attributes(span, {"error.type": error_type})


def failed_by(span: Span, error: BaseException) -> None:
    """Mark the span as failed by an exception."""
    code = getattr(error, "code", None)  # Of an error with a public code; SystemExit has a text there.
    failed(span, code.value if isinstance(code, StrEnum) else type(error).__name__)


@contextmanager
def work_span(
    tracer: Tracer,
    name: str,
    attributes: Mapping[str, AttributeValue] | None = None,
    *,
    context: Context | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    links: Sequence[Link] = (),
) -> Iterator[Span]:
    """A span that is the current one in the block, and failed when an exception leaves it."""
    with tracer.start_as_current_span(
        name, context, kind, attributes, links, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as e:
            failed_by(span, e)
            raise
