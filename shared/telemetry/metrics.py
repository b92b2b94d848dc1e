"""All metrics of the services, with Prometheus names and base units."""

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)

TASKS = Counter("lipstage_tasks_total", "Settled tasks", ["stage", "outcome", "code"])
TASK_SECONDS = Histogram("lipstage_stage_duration_seconds", "Wall time of a task", ["stage"], buckets=_SECONDS)
QUEUE_SECONDS = Histogram(
    "lipstage_task_queue_wait_seconds",
    "Time from the record's arrival on the broker to its start",
    ["stage"],
    buckets=_SECONDS,
)
ARTIFACT_BYTES = Counter(
    "lipstage_artifact_bytes_total", "Bytes read from and written to the object store", ["stage", "direction"]
)
CACHE = Counter("lipstage_cache_lookups_total", "Lookups in the stage cache", ["stage", "result"])
WORKER_PROCESS_STARTS = Counter(
    "lipstage_worker_process_starts_total", "Starts of worker processes, restarts included", ["stage"]
)
DEAD_LETTERS = Counter("lipstage_dead_letters_total", "Dead-lettered records", ["stage", "code"])
RETRIES_WAITING = Gauge("lipstage_retries_waiting", "Records on a retry topic that have not been sent back", ["tier"])
RETRY_OLDEST_OVERDUE = Gauge(
    "lipstage_retry_oldest_overdue_seconds",
    "Time since the oldest waiting record was due; negative: until it is due. Absent when none waits",
    ["tier"],
)
RETRIES_RELAYED = Counter("lipstage_retries_relayed_total", "Records sent back from a retry topic", ["tier"])
STORE_RETRIES = Counter("lipstage_store_retries_total", "Retried requests to the object store", ["stage"])
BREAKER_OPEN = Gauge(
    "lipstage_circuit_breaker_open", "1 while the stage pauses because jobs fail for a reason not theirs", ["stage"]
)
BREAKER_OPENINGS = Counter("lipstage_circuit_breaker_openings_total", "Openings of the circuit breaker", ["stage"])
SLOTS_BUSY = Gauge("lipstage_slots_busy", "Slots with a task", ["stage"])
CONSUMER_LAG = Gauge("lipstage_consumer_lag", "Records not yet committed", ["topic", "partition"])
PROJECTION_JOBS = Gauge("lipstage_projection_jobs", "Jobs that the job-state projection keeps")
PROJECTION_RECORDS = Counter(
    "lipstage_projection_records_total",
    "Records that the job-state projection has read: folded, unknown (of a later version) or refused (a dead letter)",
    ["result"],
)
BUILD = Gauge("lipstage_build_info", "Version of this service", ["version", "stage"])
SPANS = Counter("lipstage_telemetry_spans_total", "Spans sent to the collector", ["result"])
ATTRIBUTES_DROPPED = Counter("lipstage_telemetry_attributes_dropped_total", "Span attributes that the allow-list drops")
FROM_WORKERS = {
    "face_detections_total": Counter("lipstage_face_detections_total", "Face detections run", ["stage"]),
}
"""Counters that a handler may increment, by name."""


def exposition(accept: str) -> tuple[bytes, str]:
    """Body and content type of /metrics; OpenMetrics with exemplars when ``accept`` asks for it."""
    encoder, content_type = choose_encoder(accept)
    return encoder(REGISTRY), content_type


def exemplar(trace_id: str | None) -> dict[str, str] | None:
    """The exemplar that links a measurement to its trace."""
    return {"trace_id": trace_id} if trace_id else None
