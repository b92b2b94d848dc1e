"""The local stack's trace receiver as a source of traces."""

from typing import Any

from shared.client.errors import TracesRefused
from shared.client.job_key import JobKey
from shared.client.trace_http import get_json, quoted
from shared.client.traces import FoundRender, Query, Traces
from shared.telemetry.spans import StoredSpan

OTHER_PROGRAM = "the collector answers, but not as the trace receiver of a local stack; set LIPSTAGE_TEMPO_URL"


class Receiver:
    """A receiver, by its address. Methods raise TracesUnreachable; TracesRefused for another program's address."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def renders(self, query: Query, since_ns: int, until_ns: int, limit: int) -> list[FoundRender]:
        """See `traces.TraceSource`, also for the methods below."""
        asked = {"where": query.text, "since_ns": since_ns, "until_ns": until_ns, "limit": limit}
        spans = _spans(get_json(f"{self.address}/renders", asked))
        return [FoundRender.of(span, query) for span in spans]

    def job(self, job: JobKey) -> Traces:
        body = get_json(f"{self.address}/jobs/{quoted(job.job_id)}", {"tenant": job.tenant})
        if not isinstance(body, dict):
            raise TracesRefused(OTHER_PROGRAM)
        return {trace: _spans(spans) for trace, spans in body.items()}

    def trace(self, trace_id: str) -> list[StoredSpan]:
        return _spans(get_json(f"{self.address}/traces/{quoted(trace_id)}"))

    def linked(self, trace_id: str) -> list[str]:
        return [str(one) for one in _list(get_json(f"{self.address}/linked/{quoted(trace_id)}"))]


def _spans(body: Any) -> list[StoredSpan]:
    try:
        return [StoredSpan(**span) for span in _list(body)]
    except TypeError:
        raise TracesRefused(OTHER_PROGRAM) from None


def _list(body: Any) -> list[Any]:
    if not isinstance(body, list):
        raise TracesRefused(OTHER_PROGRAM)
    return body
