"""The spans of a render: from Tempo, or from the local stack's trace receiver; and where people see them."""

import json
import os
from typing import Any
from urllib.parse import quote

from shared.client import Client, JobKey, TracesUnreachable
from shared.client.tempo import Tempo
from shared.client.trace_receiver import Receiver
from shared.client.traces import TraceSource, job_traces
from shared.telemetry.spans import StoredSpan

TEMPO_URL = "LIPSTAGE_TEMPO_URL"
COLLECTOR_URL = "OTEL_EXPORTER_OTLP_ENDPOINT"
DATASOURCE = "lipstage-tempo"
"""Of the shipped Grafana configuration: deploy/grafana/provisioning."""
MAX_SPANS = 5000


def of_render(client: Client, job: JobKey, grafana_url: str) -> dict[str, Any]:
    """The spans of a render, the oldest first, and links.

    Raises TracesUnreachable, TracesRefused, JobNotFound, BrokerUnreachable, StoreUnreachable, JobDocumentUnreadable.
    """
    state = client.job(job)
    place = client.connection.deployment
    tempo = place.tempo_url or os.environ.get(TEMPO_URL, "")
    collector = place.otlp_endpoint or os.environ.get(COLLECTOR_URL, "")
    if not tempo and not collector:
        raise TracesUnreachable("traces are not kept: no Tempo and no collector is named", f"set {TEMPO_URL}")
    source: TraceSource = Tempo(tempo) if tempo else Receiver(collector)
    spans = [span for found in job_traces(source, job, state.trace_id).values() for span in found]
    spans.sort(key=lambda span: span.start_ns)
    return {
        "trace_id": state.trace_id,
        "spans": [_as_json(span) for span in spans[:MAX_SPANS]],
        "links": {
            "tempo": f"{tempo.rstrip('/')}/api/traces/{state.trace_id}" if tempo and state.trace_id else None,
            "grafana": grafana_link(grafana_url, state.trace_id) if grafana_url and state.trace_id else None,
        },
    }


def grafana_link(grafana_url: str, trace_id: str) -> str:
    """The trace in Grafana's Explore."""
    query = {
        "refId": "A",
        "datasource": {"type": "tempo", "uid": DATASOURCE},
        "queryType": "traceql",
        "query": trace_id,
    }
    panes = {"a": {"datasource": DATASOURCE, "queries": [query], "range": {"from": "now-7d", "to": "now"}}}
    return f"{grafana_url.rstrip('/')}/explore?schemaVersion=1&panes={quote(json.dumps(panes, separators=(',', ':')))}"


def _as_json(span: StoredSpan) -> dict[str, Any]:
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id or None,
        "name": span.name,
        "service": span.service,
        "start_ms": span.start_ns / 1e6,
        "duration_ms": span.duration_ns / 1e6,
        "error": span.error,
    }
