"""Tracing into memory, with the redaction of every exporter."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.telemetry.tracing import Tracing, setup
from tests.pipeline.conftest import client, pipeline

__all__ = ["client", "pipeline"]


class Recorded:
    """Tracing whose exported spans can be read back."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracing: Tracing = setup("audio", "1.2.3", self.exporter)
        self.tracer = self.tracing.tracer

    def spans(self) -> list[ReadableSpan]:
        self.tracing.provider.force_flush()
        return list(self.exporter.get_finished_spans())

    def one(self) -> ReadableSpan:
        (span,) = self.spans()
        return span


@pytest.fixture(autouse=True)
def hash_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the hashes: without it a process makes a random one, and warns."""
    monkeypatch.setenv("LIPSTAGE_HASH_KEY", "k1:a-secret-of-the-tests")


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    for name in ("OTEL_SDK_DISABLED", "OTEL_TRACES_SAMPLER", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)
    recorder = Recorded()
    yield recorder
    recorder.tracing.shutdown()
