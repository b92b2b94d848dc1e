"""Searches the summary spans of renders, and fetches traces: from Tempo, or from the local stack's receiver.

Both answer the same questions with the same renders. Traces may be sampled and expire; what was done for whom is
answered from the job records: `audit`.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol, Self

from shared.client.errors import InvalidQuery
from shared.client.job_key import JobKey
from shared.telemetry.query.errors import QueryCode, QueryError
from shared.telemetry.query.expression import Expression, Scalar, keys, matches
from shared.telemetry.query.span_values import value_of, values_of
from shared.telemetry.spans import StoredSpan
from shared.telemetry.trace_tree import bounds, job_spans

SHOWN = ("render.job", "tenant", "engine", "outcome")
"""What every found render has, beside the attributes that the expression names."""
MAX_LINKED = 20
"""Most traces that are looked up because a trace of the job is linked with them."""
DAY_NS = 86_400 * 10**9
MAX_RENDERS = 1000
"""Most renders that one search returns."""
Traces = dict[str, list[StoredSpan]]
"""Spans by trace id."""


@dataclass(frozen=True, slots=True)
class FoundRender:
    """The summary span of a render; times in nanoseconds since the epoch."""

    trace_id: str
    span_id: str
    start_ns: int
    """When the request was submitted."""
    duration_ns: int
    values: dict[str, Scalar]
    """What it has of the attributes that were asked for."""

    @classmethod
    def of(cls, span: StoredSpan, query: "Query") -> Self:
        """What the query asks for of a span."""
        return cls(span.trace_id, span.span_id, span.start_ns, span.duration_ns, values_of(span, query.shown))


class TraceSource(Protocol):
    """Where traces are kept."""

    address: str

    def renders(self, query: "Query", since_ns: int, until_ns: int, limit: int) -> list[FoundRender]:
        """The newest renders that start in the range, newest first. Raises TracesUnreachable, TracesRefused."""

    def job(self, job: JobKey) -> Traces:
        """The traces with a span of the job, without spans of other jobs, oldest first."""

    def trace(self, trace_id: str) -> list[StoredSpan]:
        """The spans of a trace; empty for one that is not known."""

    def linked(self, trace_id: str) -> list[str]:
        """Ids of other traces with a span that is linked to this trace: its replays."""


@dataclass(frozen=True, slots=True)
class Query:
    """An expression over renders, checked. Without one every render is found."""

    text: str
    expression: Expression | None

    @classmethod
    def parse(cls, text: str) -> "Query":
        """Raises InvalidQuery."""
        from shared.telemetry.query import language  # The parser's tables take time that other calls need not spend.

        try:
            text.encode()
        except UnicodeEncodeError as e:
            fault = QueryError(QueryCode.SYNTAX, "a character is not Unicode text", text, e.start)
            raise InvalidQuery.of(fault) from None
        try:
            return cls(text, language.parse(text) if text.strip() else None)
        except QueryError as e:
            raise InvalidQuery.of(e) from None

    def matches(self, span: StoredSpan) -> bool:
        """Whether the span of a render satisfies it."""
        return self.expression is None or matches(self.expression, partial(value_of, span))

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that the expression names."""
        return () if self.expression is None else keys(self.expression)

    @property
    def shown(self) -> tuple[str, ...]:
        """The keys of a found render's values."""
        return tuple(dict.fromkeys((*SHOWN, *self.keys)))


def find_renders(
    source: TraceSource, where: str = "", *, since_ns: int, until_ns: int | None = None, limit: int = MAX_RENDERS
) -> list[FoundRender]:
    """The newest renders that were submitted in the time range and satisfy ``where``, newest first.

    ``where`` is an expression of `shared.telemetry.query.language`; empty: every render. Raises InvalidQuery with the
    position of the fault, TracesUnreachable, TracesRefused.
    """
    query, now = Query.parse(where), time.time_ns()
    # The clocks of services may be ahead; what lies beyond the numbers of a source is refused there.
    since, until = max(since_ns, 0), now if until_ns is None else min(until_ns, now + DAY_NS)
    return source.renders(query, since, until, min(limit, MAX_RENDERS)) if since < until else []


def job_traces(source: TraceSource, job: JobKey, known: str | None = None) -> Traces:
    """The traces of a job, the oldest first: those with a span of it, and those that are linked with them.

    A replay starts a trace that is linked to the one that failed, and is found before a stage has taken its record.
    ``known`` is the id of a trace of the job that the source may not find by its attributes yet. Raises
    TracesUnreachable, TracesRefused.
    """
    traces = source.job(job)
    if known is not None and known not in traces and (spans := _own(source.trace(known), job)):
        traces[known] = spans
    asked, waiting, left = set(traces), list(traces), MAX_LINKED
    while waiting and left:
        one = waiting.pop(0)
        before = [link["trace_id"] for span in traces[one] for link in span.links]
        others = [other for other in dict.fromkeys([*before, *source.linked(one)]) if other not in asked]
        asked.update(others)
        for other in others[:left]:
            if spans := _own(source.trace(other), job):
                traces[other] = spans
                waiting.append(other)
        left = max(0, left - len(others))
    return dict(sorted(traces.items(), key=lambda item: bounds(item[1])[0]))


def _own(spans: list[StoredSpan], job: JobKey) -> list[StoredSpan]:
    """The job's spans; all of them in a trace that names no job yet."""
    if any("render.job" in span.attributes for span in spans):
        return job_spans(spans, job.tenant, job.job_id)
    return spans


def windows(since_ns: int, until_ns: int, longest_ns: int) -> Iterator[tuple[int, int]]:
    """The time range in pieces of at most ``longest_ns``, the newest first."""
    end = until_ns
    while end > since_ns:
        start = max(since_ns, end - longest_ns)
        yield start, end
        end = start
