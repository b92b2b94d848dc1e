"""W3C trace context in Kafka headers: lower-case names, ASCII values, exactly one traceparent.

Several ``tracestate`` headers are one list, as in HTTP.
"""

from collections.abc import Iterable

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACE_HEADERS = frozenset({"traceparent", "tracestate", "baggage"})
MAX_STATE_MEMBERS = 32
"""Of W3C Trace Context; further members, the oldest, are left out."""
MAX_STATE_CHARACTERS = 512
"""What W3C Trace Context asks every system to pass on; of more, long members are left out first, then the oldest."""
LONG_MEMBER = 128
_w3c = TraceContextTextMapPropagator()


def extract(headers: Iterable[tuple[str, bytes | None]] | None) -> Context:
    """The context of the sender; undecodable values are ignored. Never raises.

    The last traceparent counts. The members of all tracestates are joined in order; of two with one key the first
    counts, which is the newer one.

    Baggage is ignored, whoever wrote it: its sender is not known, every reader of the topic can see it, and department
    and tenant, the only entries that lipstage would let in, are fields of the request. So no span, log line or record
    of lipstage holds an entry of it.
    """
    carrier: dict[str, str] = {}
    states: list[str] = []
    for name, value in headers or ():
        if name.lower() not in TRACE_HEADERS or value is None:
            continue
        try:
            text = value.decode("ascii")
        except UnicodeDecodeError:
            continue
        if name.lower() == "tracestate":
            states.append(text)
        else:
            carrier[name.lower()] = text
    if state := _joined(states):
        carrier["tracestate"] = state
    return _w3c.extract(carrier, Context())


def _joined(states: Iterable[str]) -> str:
    members: dict[str, str] = {}
    for member in ",".join(states).split(","):
        if text := member.strip(" \t"):
            members.setdefault(text.partition("=")[0], text)
    kept = list(members.values())[:MAX_STATE_MEMBERS]
    if len(",".join(kept)) > MAX_STATE_CHARACTERS:
        kept = [member for member in kept if len(member) <= LONG_MEMBER]
    while len(",".join(kept)) > MAX_STATE_CHARACTERS:
        kept.pop()
    return ",".join(kept)


def inject(context: Context | None = None) -> list[tuple[str, bytes]]:
    """Trace headers for the context (default: the current one); an empty list without a span."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier, context)
    return [(name, value.encode("ascii")) for name, value in carrier.items()]


def trace_id(context: Context | None = None) -> str | None:
    """The trace id as 32 hex digits; None outside a trace."""
    span_context = trace.get_current_span(context).get_span_context()
    return format(span_context.trace_id, "032x") if span_context.is_valid else None


def span_id() -> str | None:
    """The id of the current span as 16 hex digits; None outside a trace."""
    span_context = trace.get_current_span().get_span_context()
    return format(span_context.span_id, "016x") if span_context.is_valid else None


def sampled() -> bool:
    """Whether the current trace is sampled; True outside a trace. Spans of a trace that is not are not exported."""
    span_context = trace.get_current_span().get_span_context()
    return span_context.trace_flags.sampled or not span_context.is_valid


def traceparent(context: Context) -> str | None:
    """The context as one header value, for storage."""
    return next((value.decode() for name, value in inject(context) if name == "traceparent"), None)


def parent(value: str | None) -> Context:
    """The context of a stored traceparent; an empty context when it is absent or malformed."""
    return extract([("traceparent", value.encode("ascii", "ignore"))] if value else [])
