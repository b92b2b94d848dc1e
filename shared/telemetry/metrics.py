"""The catalogue of metrics: every one a service exposes, in one place. Prometheus names and base units."""

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)

TASKS = Counter("lipstage_tasks_total", "Tasks settled", ["stage", "outcome", "code"])
TASK_SECONDS = Histogram("lipstage_stage_duration_seconds", "Wall time of a task", ["stage"], buckets=_SECONDS)
QUEUE_SECONDS = Histogram("lipstage_task_queue_wait_seconds", "Record to start", ["stage"], buckets=_SECONDS)
ARTIFACT_BYTES = Counter("lipstage_artifact_bytes_total", "Bytes moved to and from the store", ["stage", "direction"])
CACHE = Counter("lipstage_cache_lookups_total", "StageOutput cache", ["stage", "result"])
WORKER_PROCESS_STARTS = Counter(
    "lipstage_worker_process_starts_total", "Children started, restarts included", ["stage"]
)
DEAD_LETTERS = Counter("lipstage_dead_letters_total", "Records dead-lettered", ["stage", "code"])
SLOTS_BUSY = Gauge("lipstage_slots_busy", "Slots at work", ["stage"])
CONSUMER_LAG = Gauge("lipstage_consumer_lag", "Records not yet committed", ["topic", "partition"])
BUILD = Gauge("lipstage_build_info", "Version of this service", ["version", "stage"])
SPANS = Counter("lipstage_telemetry_spans_total", "Spans handed to the collector", ["result"])
ATTRIBUTES_DROPPED = Counter("lipstage_telemetry_attributes_dropped_total", "Span attributes not on the allow-list")
FROM_WORKERS = {
    "face_detections_total": Counter("lipstage_face_detections_total", "Face searches run", ["stage"]),
}
"""Counters a handler may raise by name."""


def exposition(accept: str) -> tuple[bytes, str]:
    """Body and content type of /metrics; OpenMetrics, with exemplars, for who asks for it."""
    encoder, content_type = choose_encoder(accept)
    return encoder(REGISTRY), content_type


def exemplar(trace_id: str | None) -> dict[str, str] | None:
    """The exemplar that links a measurement to its trace."""
    return {"trace_id": trace_id} if trace_id else None
