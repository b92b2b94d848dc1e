"""The local stack's trace receiver as a source of traces."""

from typing import Any

from shared.client.job_key import JobKey
from shared.client.trace_http import get_json, quoted
from shared.client.traces import FoundRender, Query, Traces
from shared.telemetry.query.expression import Scalar
from shared.telemetry.query.fields import VERSION
from shared.telemetry.spans import StoredSpan


class Receiver:
    """A receiver, by its address. Methods raise TracesUnreachable; TracesRefused for another program's address."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def renders(self, query: Query, since_ns: int, until_ns: int, limit: int) -> list[FoundRender]:
        """See `traces.TraceSource`, also for the methods below."""
        asked = {"where": query.text, "since_ns": since_ns, "until_ns": until_ns, "limit": limit}
        spans = _spans(get_json(f"{self.address}/renders", asked))
        return [FoundRender(s.trace_id, s.span_id, s.start_ns, s.duration_ns, _chosen(s, query.shown)) for s in spans]

    def job(self, job: JobKey) -> Traces:
        body: dict[str, Any] = get_json(f"{self.address}/jobs/{quoted(job.job_id)}", {"tenant": job.tenant})
        return {trace: _spans(spans) for trace, spans in body.items()}

    def trace(self, trace_id: str) -> list[StoredSpan]:
        return _spans(get_json(f"{self.address}/traces/{quoted(trace_id)}"))

    def linked(self, trace_id: str) -> list[str]:
        return [str(one) for one in get_json(f"{self.address}/linked/{quoted(trace_id)}")]


def _spans(body: Any) -> list[StoredSpan]:
    return [StoredSpan(**span) for span in body]


def _chosen(span: StoredSpan, shown: tuple[str, ...]) -> dict[str, Scalar]:
    values = {**span.attributes, **({VERSION: span.version} if span.version else {})}
    return {key: values[key] for key in shown if key in values}
