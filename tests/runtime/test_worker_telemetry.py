"""Telemetry records of a worker can't break its parent."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from shared.messages.codes import Code, Rejected
from shared.runtime.execute.worker_telemetry import WorkerTelemetry
from shared.slot import records
from shared.telemetry import tracing


def test_reserved_log_field_names_get_a_suffix() -> None:
    telemetry = WorkerTelemetry("audio", TracerProvider().get_tracer("test"))
    telemetry.take(records.Log(level="info", event="line", fields={"event": "x", "exc_info": True, "n": 1}))


def test_unknown_metric_is_ignored() -> None:
    WorkerTelemetry("audio", TracerProvider().get_tracer("test")).take(records.Metric(name="no_such_metric"))


def test_span_of_a_failed_download_has_no_word_of_the_users_key() -> None:
    """The words between the first and the last of a key look like no path, so they can't be scrubbed."""
    exporter = InMemorySpanExporter()
    recorded = tracing.setup("test", "0", exporter)
    error = Rejected(Code.INPUT_NOT_FOUND, "The portrait can't be used: default/Ann's Smith wedding/p does not exist.")
    with pytest.raises(Rejected), WorkerTelemetry("audio", recorded.tracer).span("artifact.get", {}):
        raise error
    recorded.provider.force_flush()
    (span,) = exporter.get_finished_spans()
    assert (span.status.status_code, dict(span.attributes or {})) == (
        StatusCode.ERROR,
        {"error.type": "INPUT_NOT_FOUND"},
    )
    assert "Smith" not in span.to_json()


def test_span_of_a_failed_handler_has_the_class_of_its_error() -> None:
    exporter = InMemorySpanExporter()
    recorded = tracing.setup("test", "0", exporter)
    record = records.Span(name="load_audio", span_id="1" * 16, start_ns=1, end_ns=2, error="ValueError")
    WorkerTelemetry("audio", recorded.tracer).take(record)
    recorded.provider.force_flush()
    (span,) = exporter.get_finished_spans()
    assert (span.status.status_code, dict(span.attributes or {})) == (StatusCode.ERROR, {"error.type": "ValueError"})
