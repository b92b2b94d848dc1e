"""Grafana Tempo 3 as a source of traces, by its HTTP API."""

import json
import time
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from shared.client.errors import TracesRefused
from shared.client.job_key import JobKey
from shared.client.trace_http import get, get_json, quoted
from shared.client.traces import FoundRender, Query, Traces, windows
from shared.telemetry.query import traceql
from shared.telemetry.query.expression import Scalar
from shared.telemetry.query.fields import fields
from shared.telemetry.spans import StoredSpan, read_spans
from shared.telemetry.trace_tree import SPAN, job_spans

LONGEST_NS = 160 * 3600 * 10**9
"""Of one search: Tempo refuses more than 168 hours unless it is configured otherwise."""
JOB_NS = 14 * 86_400 * 10**9
"""How far back a job's traces are searched: as long as Tempo keeps blocks by default."""
MAX_TRACES = 50
"""Most traces of one job."""
SPANS_PER_TRACE = 100
"""Most renders of one trace that Tempo's search returns: its own limit. Of a batch that was submitted in one span of
the caller there may be more; they are taken from the trace."""


class Tempo:
    """A Tempo, by the address of its query API. It finds a span 30 s after it ended, and a trace by its id at once.

    Methods raise TracesUnreachable, TracesRefused.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def renders(self, query: Query, since_ns: int, until_ns: int, limit: int) -> list[FoundRender]:
        """See `traces.TraceSource`, also for the methods below."""
        found: dict[str, FoundRender] = {}
        asked = traceql.search(query.expression, query.shown)
        for start, end in windows(since_ns, until_ns, LONGEST_NS):
            for trace in self._search(asked, start, end, limit):
                for render in self._renders(trace, query):
                    # The range chooses traces that overlap it; a render belongs to it by its start.
                    if since_ns <= render.start_ns < until_ns:
                        found[render.trace_id + render.span_id] = render
            if len(found) >= limit:
                break
        return sorted(found.values(), key=lambda render: (-render.start_ns, render.span_id))[:limit]

    def _renders(self, trace: Any, query: Query) -> list[FoundRender]:
        sets = trace.get("spanSets") or ([trace["spanSet"]] if trace.get("spanSet") else [])
        if all(one.get("matched", 0) <= len(one.get("spans", ())) for one in sets):
            return [_render(_trace_id(trace), span) for one in sets for span in one.get("spans", ())]
        spans = [span for span in self.trace(_trace_id(trace)) if span.name == SPAN]
        return [FoundRender.of(span, query) for span in spans if query.matches(span)]

    def job(self, job: JobKey) -> Traces:
        text = f"{{ span.render.job = {json.dumps(job.job_id)} && span.tenant = {json.dumps(job.tenant)} }}"
        now = time.time_ns()
        ids: dict[str, None] = {}
        for start, end in windows(now - JOB_NS, now, LONGEST_NS):
            ids |= dict.fromkeys(_trace_id(trace) for trace in self._search(text, start, end, MAX_TRACES))
        traces = {trace: job_spans(self.trace(trace), job.tenant, job.job_id) for trace in ids}
        known = [(trace, spans) for trace, spans in traces.items() if spans]
        return dict(sorted(known, key=lambda item: item[1][0].start_ns))

    def trace(self, trace_id: str) -> list[StoredSpan]:
        body = get(f"{self.address}/api/traces/{quoted(trace_id)}", accept="application/protobuf")
        try:
            resources = TracesData.FromString(body or b"").resource_spans
        except DecodeError:
            raise TracesRefused(f"{self.address} is not Tempo: its answer is not a trace") from None
        # Tempo may keep a span twice that was exported twice.
        spans = {span.span_id: span for span in read_spans(resources)}
        return sorted(spans.values(), key=lambda span: span.start_ns)

    def linked(self, trace_id: str) -> list[str]:
        now = time.time_ns()
        # Tempo keeps the id of a link without leading zeros.
        same = " || ".join(f'link:traceID = "{one}"' for one in dict.fromkeys((trace_id, trace_id.lstrip("0"))))
        text = f"{{ {same} }}"
        found: dict[str, None] = {}
        for start, end in windows(now - JOB_NS, now, LONGEST_NS):
            found |= dict.fromkeys(_trace_id(trace) for trace in self._search(text, start, end, MAX_TRACES))
        return [one for one in found if one != trace_id]

    def _search(self, query: str, start_ns: int, end_ns: int, limit: int) -> list[Any]:
        """Tempo's answer, one entry a trace; the range in whole seconds encloses the wanted one."""
        seconds = {"start": start_ns // 10**9, "end": -(-end_ns // 10**9)}
        asked = {"q": query, **seconds, "limit": limit, "spss": SPANS_PER_TRACE}
        answer = get_json(f"{self.address}/api/search", asked)
        traces = answer.get("traces") if isinstance(answer, dict) else None
        return traces if isinstance(traces, list) else []


def _trace_id(trace: Any) -> str:
    """Tempo leaves out leading zeros."""
    return str(trace["traceID"]).zfill(32)


def _render(trace_id: str, span: Any) -> FoundRender:
    values: dict[str, Scalar] = {}
    known = {field.traceql.partition(".")[2]: key for key, field in fields().items()}
    for attribute in span.get("attributes", ()):
        value = _value(attribute.get("value") or {})
        if attribute["key"] in known and value is not None:
            values[known[attribute["key"]]] = value
    start, duration = int(span["startTimeUnixNano"]), int(span.get("durationNanos", 0))
    return FoundRender(trace_id, str(span["spanID"]).zfill(16), start, duration, values)


def _value(value: dict[str, Any]) -> Scalar | None:
    """64-bit numbers are texts in Tempo's JSON."""
    match value:
        case {"intValue": number}:
            return int(number)
        case {"doubleValue": number}:
            return float(number)
        case {"boolValue": bool() as flag}:
            return flag
        case {"stringValue": str() as text}:
            return text
    return None
