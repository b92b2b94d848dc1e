"""The trace of a submission: the caller's, from the program's own span or from its environment."""

from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

from shared.client import Client
from shared.client.connection import Connection
from tests.client.dead_letters.making import sent

TRACE, SPAN = "a" * 32, "b" * 16


def test_submission_is_the_child_of_the_caller(
    client: Client, deployment: Connection, portrait: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", f"00-{TRACE}-{SPAN}-01")
    monkeypatch.setenv("TRACESTATE", "vendor=1")
    by_environment = client.submit(client.job_spec(portrait, speech))
    assert by_environment.trace_id == TRACE
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("application")
    with tracer.start_as_current_span("of the application") as span:
        by_span = client.submit(client.job_spec(portrait, speech))
    assert by_span.trace_id == f"{span.get_span_context().trace_id:032x}"
    headers = {message.key().decode(): dict(message.headers()) for message in sent(deployment, "render.requests")}
    own = headers[by_environment.job_id]
    assert own["traceparent"].decode().split("-")[1] == TRACE
    assert own["tracestate"] == b"vendor=1"
    assert headers[by_span.job_id]["traceparent"].decode().split("-")[1] == by_span.trace_id
    assert "tracestate" not in headers[by_span.job_id]
