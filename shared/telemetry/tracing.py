"""Set-up and shutdown of tracing: export by OTLP, always redacted, never blocking the work.

The only code that makes a tracer provider: each one exports through ``RedactingExporter``, or not at all.
"""

import os
from dataclasses import dataclass

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Tracer

from shared.telemetry import otlp
from shared.telemetry.ids import PresetIdGenerator
from shared.telemetry.redaction import RedactingExporter
from shared.telemetry.settings import Protocol
from shared.telemetry.span_queue import SpanQueue

SCHEDULE_MS = 1000
"""Spans are exported after at most this time; OTEL_BSP_SCHEDULE_DELAY overrides it."""
SHUTDOWN_S = 2.5
"""Longest wait for the remaining spans. A process whose export hangs takes some 0.3 s more to end: 3 s in all."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """Tracer and provider of one service or client."""

    tracer: Tracer
    provider: TracerProvider
    queue: SpanQueue | None = None

    @property
    def exports(self) -> bool:
        """Whether spans leave this process."""
        return self.queue is not None

    def shutdown(self) -> None:
        """Export the remaining spans, for 3 s at most."""
        if self.queue is not None:
            self.queue.shutdown_within(SHUTDOWN_S)


def setup(
    service: str, version: str, exporter: SpanExporter | None = None, *, endpoint: str | None = None,
    protocol: Protocol | None = None,
) -> Tracing:  # fmt: skip
    """Set up tracing for a service or a client; the global provider and propagator stay as they are.

    ``endpoint`` is an OTLP collector to use instead of the environment's, an address without a path, and ``protocol``
    what it speaks if that is not what the environment says. ``exporter``
    replaces OTLP in tests; it is redacted like any other. Without either, and without an endpoint in the environment
    (OTEL_EXPORTER_OTLP_[TRACES_]ENDPOINT), spans have ids and are not exported. OTEL_TRACES_SAMPLER chooses the traces
    that are sampled; the default is all, unless the caller excluded its own. Raises ValueError for variables of
    OpenTelemetry that can't be used.
    """
    resource = Resource.create({"service.namespace": "lipstage", "service.name": service, "service.version": version})
    provider = TracerProvider(resource=resource, id_generator=PresetIdGenerator(), shutdown_on_exit=False)
    if exporter is None and (endpoint or otlp.is_configured()):
        exporter = otlp.exporter(endpoint, protocol)
    queue = None
    if exporter is not None:
        delay = None if os.environ.get("OTEL_BSP_SCHEDULE_DELAY") else SCHEDULE_MS
        queue = SpanQueue(RedactingExporter(exporter), delay)
        provider.add_span_processor(queue)
    return Tracing(provider.get_tracer("lipstage", version), provider, queue)


def accepts_exports(endpoint: str | None = None) -> bool:
    """Whether the collector accepts an empty export, with the headers and certificates of the environment.

    Raises ValueError as ``setup``.
    """
    exporter = otlp.exporter(endpoint)
    try:
        return exporter.export([]) is SpanExportResult.SUCCESS
    finally:
        exporter.shutdown()
