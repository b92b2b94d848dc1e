"""W3C trace context in Kafka headers: lower-case names, ASCII values, exactly one traceparent."""

from collections.abc import Iterable

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACE_HEADERS = frozenset({"traceparent", "tracestate", "baggage"})
_w3c = TraceContextTextMapPropagator()


def extract(headers: Iterable[tuple[str, bytes | None]] | None) -> Context:
    """The context of the sender; the last value of a name is used, undecodable values are ignored. Never raises.

    Baggage is ignored: every reader of the topic can see it, and lipstage puts nothing into it.
    """
    carrier: dict[str, str] = {}
    for name, value in headers or ():
        if name.lower() in TRACE_HEADERS and value is not None:
            try:
                carrier[name.lower()] = value.decode("ascii")
            except UnicodeDecodeError:
                continue
    return _w3c.extract(carrier, Context())


def inject(context: Context | None = None) -> list[tuple[str, bytes]]:
    """Trace headers for the context (default: the current one); an empty list without a span."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier, context)
    return [(name, value.encode("ascii")) for name, value in carrier.items()]


def trace_id(context: Context | None = None) -> str | None:
    """The trace id as 32 hex digits; None outside a trace."""
    span_context = trace.get_current_span(context).get_span_context()
    return format(span_context.trace_id, "032x") if span_context.is_valid else None


def traceparent(context: Context) -> str | None:
    """The context as one header value, for storage."""
    return next((value.decode() for name, value in inject(context) if name == "traceparent"), None)


def parent(value: str | None) -> Context:
    """The context of a stored traceparent; an empty context when it is absent or malformed."""
    return extract([("traceparent", value.encode("ascii", "ignore"))] if value else [])
