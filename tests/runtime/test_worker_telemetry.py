"""Telemetry records of a worker can't break its parent."""

from opentelemetry.sdk.trace import TracerProvider

from shared.runtime.execute.worker_telemetry import WorkerTelemetry
from shared.slot import records


def test_reserved_log_field_names_get_a_suffix() -> None:
    telemetry = WorkerTelemetry("audio", TracerProvider().get_tracer("test"))
    telemetry.take(records.Log(level="info", event="line", fields={"event": "x", "exc_info": True, "n": 1}))


def test_unknown_metric_is_ignored() -> None:
    WorkerTelemetry("audio", TracerProvider().get_tracer("test")).take(records.Metric(name="no_such_metric"))
