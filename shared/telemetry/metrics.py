"""The catalogue: all metrics of lipstage, with Prometheus names and base units. docs/metrics.md is made from it."""

from opentelemetry import trace
from prometheus_client import REGISTRY, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from shared.telemetry.metric_entries import LabelValues, counter, enter, gauge, histogram

# A second series for each counter and histogram, which no query of ours reads.
disable_created_metrics()  # type: ignore[no-untyped-call]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
DRIFT_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2)
QUALITY = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
REAL_TIME = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 50)

ENGINES = LabelValues()
"""The values of the label ``engine``: the enabled engines."""
RENDER_OUTCOMES = ("done", "rejected", "expired", "cancelled", "failed")
"""The values of the label ``outcome`` of renders."""

# Renders: counted by the stage or relay that ends the job, once for each terminal event that was stored first; those
# that a client cancelled by the stage that has the record.
RENDERS = counter(
    "lipstage_renders_total",
    "renders",
    "Renders that ended: done, rejected, expired, cancelled or failed. A redelivery is not counted again, but for a"
    " cancelled render: the client ends it, and the stage that finds it ended counts it, each time",
    "engine", "outcome",
)  # fmt: skip
RENDER_SECONDS = histogram(
    "lipstage_render_duration_seconds",
    "seconds",
    "From the request's arrival at the broker to the end of the render; exemplars",
    "engine", "outcome",
    buckets=SECONDS,
)  # fmt: skip
RENDER_REAL_TIME = histogram(
    "lipstage_render_real_time_factor",
    "ratio",
    "Working seconds of all stages, without waits in queues, for a second of finished video; 1 is real time",
    "engine",
    buckets=REAL_TIME,
)
RENDER_DRIFT = histogram(
    "lipstage_render_drift_seconds",
    "seconds",
    "Drift of finished videos, without its sign; exemplars",
    "engine", "kind",
    buckets=DRIFT_SECONDS,
)  # fmt: skip
RENDER_QUALITY = histogram(
    "lipstage_render_quality_ratio",
    "ratio",
    "Quality of finished videos, 0 to 1, of those where it was measured; exemplars",
    "engine",
    buckets=QUALITY,
)

# Tasks: one stage's part of a render.
TASKS = counter(
    "lipstage_tasks_total",
    "records",
    "Settled records: done, rejected, cancelled, expired, retry (it waits on a retry topic), dead_letter, conflict,"
    " partition_lost (the partition was reassigned), passed_on (to the bulk lane), duplicate (the job had already"
    " ended)",
    "stage", "outcome", "code",
)  # fmt: skip
TASK_SECONDS = histogram(
    "lipstage_stage_duration_seconds", "seconds", "Wall time of a task; exemplars", "stage", buckets=SECONDS
)
QUEUE_SECONDS = histogram(
    "lipstage_task_queue_wait_seconds",
    "seconds",
    "From the record's arrival on the broker to its start; exemplars",
    "stage",
    buckets=SECONDS,
)
TASK_FAILURES = counter(
    "lipstage_task_failures_total",
    "attempts",
    "Attempts that failed for a reason that is not the user's: repeated, retried later or dead-lettered",
    "stage", "failure_class",
)  # fmt: skip
EARLY_STARTS = counter(
    "lipstage_early_starts_total",
    "attempts",
    "Attempts that started before their task arrived: used; or given up: preempted by another task, superseded (the"
    " task names another attempt's frames), failed, cancelled, expired, partition_lost, forgotten, stopping, not_used",
    "stage", "outcome",
)  # fmt: skip
TENANT_REFUSALS = counter(
    "lipstage_tenant_refusals_total",
    "records",
    "Requests and cancel commands of senders that may not speak for the tenant that they name: request or"
    " cancel, and the public code. A cancel command is counted by every service, a redelivered request again",
    "record", "code",
)  # fmt: skip
QUOTA_EXCEEDED = counter(
    "lipstage_quota_exceeded_total", "jobs", "Jobs rejected because their tenant is over a quota", "stage", "quota"
)
DEAD_LETTERS = counter("lipstage_dead_letters_total", "records", "Dead-lettered records", "stage", "code")
CACHE = counter(
    "lipstage_cache_lookups_total", "lookups", "Lookups in the cache of stage outputs: hit or miss", "stage", "result"
)
PROJECTION_JOBS = gauge("lipstage_projection_jobs", "jobs", "Jobs that the job-state projection keeps")
PROJECTION_RECORDS = counter(
    "lipstage_projection_records_total",
    "records",
    "Records that the job-state projection has read: folded, unknown (of a later version) or refused (a dead letter)",
    "result",
)
PROJECTION_LAG = gauge(
    "lipstage_projection_lag",
    "records",
    "Records that the job-state projection has not committed",
    "topic",
    "partition",
)
WEBHOOKS = counter(
    "lipstage_webhook_deliveries_total",
    "notices",
    "Attempts to tell an endpoint of the end of a render: delivered, retried (it waits on a retry topic), dead_letter,"
    " gone (it answered 410 and is disabled); not made: deferred (too many wait for the endpoint), disabled,"
    " unregistered (deleted meanwhile), purged (the render was); unreadable (the endpoints of a tenant), refused (by"
    " the broker)",
    "outcome",
)
WEBHOOK_SECONDS = histogram(
    "lipstage_webhook_post_duration_seconds",
    "seconds",
    "Time of one POST to an endpoint, whatever came of it",
    buckets=REQUEST_SECONDS,
)
FROM_WORKERS = {
    "face_detections_total": counter("lipstage_face_detections_total", "detections", "Face detections run", "stage"),
}
"""Counters that a handler may increment, by name."""

# Queues.
CONSUMER_LAG = gauge(
    "lipstage_consumer_lag",
    "records",
    "Records that the stage has not committed, running ones included; 0 when idle, also with transactional producers",
    "topic", "partition",
)  # fmt: skip
OLDEST_UNPROCESSED = gauge(
    "lipstage_oldest_unprocessed_seconds",
    "seconds",
    "Age of the oldest record that is not committed, running ones included, by the broker's clock, on the partitions of"
    " this replica; 0 when there is none. It goes on growing while the broker does not answer",
    "topic",
)
RETRIES_WAITING = gauge(
    "lipstage_retries_waiting",
    "records",
    "Records on a retry topic that have not been sent back; the sum over all relays is the whole",
    "tier",
)
RETRY_OLDEST_OVERDUE = gauge(
    "lipstage_retry_oldest_overdue_seconds",
    "seconds",
    "Time since the oldest waiting record was due; negative: until it is due. Absent when none waits",
    "tier",
)
RETRIES_RELAYED = counter("lipstage_retries_relayed_total", "records", "Records sent back from a retry topic", "tier")

# The service.
SLOTS = gauge("lipstage_slots", "slots", "Slots: tasks that this replica can process at a time", "stage")
SLOTS_BUSY = gauge("lipstage_slots_busy", "slots", "Slots with a task (tasks in flight)", "stage")
LONGEST_TASK = gauge(
    "lipstage_longest_task_seconds",
    "seconds",
    "How long the longest running task has been in its slot, without waits for disk space; 0 when none runs",
    "stage",
)
TASK_LIMIT = gauge(
    "lipstage_task_limit_seconds", "seconds", "A task that is in its slot for longer hangs: liveness fails", "stage"
)
POD_DELETION_COST_FAILURES = counter(
    "lipstage_pod_deletion_cost_failures_total",
    "updates",
    "Updates of the pod's own deletion cost that failed (LIPSTAGE_POD_DELETION_COST); no task is affected",
    "stage",
)
BREAKER_OPEN = gauge(
    "lipstage_circuit_breaker_open",
    "0 or 1",
    "1 while this replica starts no records, because jobs fail for a reason that is not theirs",
    "stage",
)
BREAKER_OPENINGS = counter(
    "lipstage_circuit_breaker_openings_total", "openings", "Openings of the circuit breaker", "stage"
)
WORKER_PROCESS_STARTS = counter(
    "lipstage_worker_process_starts_total",
    "starts",
    "Starts of worker processes by reason: `first` of a slot; `died`, the one before; `spare`, ahead of its use;"
    " `tenant` or `task`, without a spare: the next task is another tenant's, or any (LIPSTAGE_WORKER_REUSE)",
    "stage", "reason",
)  # fmt: skip
CONFINEMENT_LEVEL = gauge(
    "lipstage_confinement_level",
    "0 to 2",
    "How far the worker processes are confined, which open user media: 2 full, 1 partial, 0 not at all",
    "stage",
)
WORKER_MEMORY = gauge(
    "lipstage_worker_memory_bytes",
    "bytes",
    "Resident memory of a slot's worker process and its children, without its spare; 0 while it does not run. The"
    " service's own is process_resident_memory_bytes",
    "stage", "slot",
)  # fmt: skip
CPU_SECONDS = enter(
    "lipstage_cpu_seconds_total",
    "counter",
    "seconds",
    "CPU time of the service and of all its worker processes, ended ones included",
    ["stage"],
)
GPU_SECONDS = counter(
    "lipstage_gpu_seconds_total",
    "seconds",
    "Time that completed tasks worked on an accelerator; failed attempts are not measured",
    "stage", "engine",
)  # fmt: skip
BUILD = gauge("lipstage_build_info", "always 1", "Version of this service", "version", "stage")

# The object store.
ARTIFACT_BYTES = counter(
    "lipstage_artifact_bytes_total",
    "bytes",
    "Bytes read from and written to the object store",
    "stage", "direction",
)  # fmt: skip
STORE_SECONDS = histogram(
    "lipstage_store_request_duration_seconds",
    "seconds",
    "Time of one attempt at an operation on the object store, failed ones included; exemplars",
    "stage", "operation",
    buckets=REQUEST_SECONDS,
)  # fmt: skip
STORE_RETRIES = counter(
    "lipstage_store_retries_total", "operations", "Repeated operations on the object store", "stage"
)

# Clients.
CLIENT_SUBMISSIONS = counter(
    "lipstage_client_submissions_total",
    "submissions",
    "Submissions of a client: sent, duplicate (the same request had been sent before), refused (by the client or the"
    " broker) or unreachable",
    "result",
)
CLIENT_SUBMISSION_SECONDS = histogram(
    "lipstage_client_submission_duration_seconds",
    "seconds",
    "From the call of a client to the broker's confirmation: checks, upload of both files, the record",
    buckets=SECONDS,
)

# The gateway.
HTTP_REQUESTS = counter(
    "lipstage_http_requests_total",
    "requests",
    "Requests that the gateway has answered; status 0: the client went away first",
    "method", "route", "status",
)  # fmt: skip
HTTP_SECONDS = histogram(
    "lipstage_http_request_duration_seconds",
    "seconds",
    "From a request's head to the end of its answer; an event stream lasts as long as its watcher stays",
    "method", "route",
    buckets=(*REQUEST_SECONDS, 600),
)  # fmt: skip
GRPC_CALLS = counter(
    "lipstage_grpc_calls_total",
    "calls",
    "gRPC calls that the gateway has answered; CANCELLED: the client went away first",
    "method", "status",
)  # fmt: skip
GRPC_SECONDS = histogram(
    "lipstage_grpc_call_duration_seconds",
    "seconds",
    "From the begin of a gRPC call to the end of its answer; Watch lasts as long as its watcher stays",
    "method",
    buckets=(*REQUEST_SECONDS, 600),
)
EVENT_STREAMS = gauge(
    "lipstage_gateway_event_streams", "streams", "Open event streams of the gateway, of HTTP and of gRPC"
)
EVENT_STREAMS_REFUSED = counter(
    "lipstage_gateway_event_streams_refused_total",
    "streams",
    "Event streams that were refused: gateway (`LIPSTAGE_GATEWAY_MAX_WATCHERS` are open) or tenant"
    " (`LIPSTAGE_GATEWAY_MAX_WATCHERS_PER_TENANT` of the tenant's)",
    "reason",
)
UPLOADS = gauge(
    "lipstage_gateway_uploads",
    "uploads",
    "Uploads that arrive through the gateway, of HTTP and of gRPC; at `LIPSTAGE_GATEWAY_MAX_UPLOADS` a further one is"
    " refused",
)

# Telemetry itself.
SPANS = counter(
    "lipstage_telemetry_spans_total",
    "spans",
    "Spans: exported, failed (the collector did not take them) or dropped (the queue was full, or the service ended"
    " before the collector answered)",
    "result",
)
for _result in ("exported", "failed", "dropped"):
    SPANS.labels(_result)
ATTRIBUTES_DROPPED = counter(
    "lipstage_telemetry_attributes_dropped_total", "attributes", "Span attributes that the allow-list drops"
)


def exposition(accept: str) -> tuple[bytes, str]:
    """Body and content type of /metrics; OpenMetrics with exemplars when ``accept`` asks for it."""
    encoder, content_type = choose_encoder(accept)
    return encoder(REGISTRY), content_type


def exemplar() -> dict[str, str] | None:
    """The exemplar that links a measurement to the current trace; None when that is not sampled."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid or not context.trace_flags.sampled:
        return None
    return {"trace_id": format(context.trace_id, "032x")}
