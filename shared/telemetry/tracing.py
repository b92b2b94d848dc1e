"""Set-up and shutdown of tracing: export by OTLP over HTTP, always redacted, never blocking the work."""

import logging
import os
import threading
from dataclasses import dataclass

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Tracer

from shared.telemetry.ids import PresetIdGenerator
from shared.telemetry.redaction import RedactingExporter

SCHEDULE_MS = 1000
"""Spans are exported after at most this time; OTEL_BSP_SCHEDULE_DELAY overrides it."""
EXPORT_S = 2.0
"""Limit for one batch, retries included; OTEL_EXPORTER_OTLP_TIMEOUT overrides it."""
SHUTDOWN_S = 3.0
"""The shutdown of the SDK takes 30 s without a collector: a whole grace period."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """Tracer and provider of one service or client."""

    tracer: Tracer
    provider: TracerProvider
    exports: bool = True
    """Whether spans leave this process."""

    def shutdown(self) -> None:
        """Export the remaining spans, for 3 s at most."""
        thread = threading.Thread(target=self.provider.shutdown, name="telemetry-shutdown", daemon=True)
        thread.start()
        thread.join(SHUTDOWN_S)


def setup(service: str, version: str, exporter: SpanExporter | None = None, *, endpoint: str | None = None) -> Tracing:
    """Set up tracing for a service or a client; the global provider and propagator stay as they are.

    ``endpoint`` is an OTLP/HTTP collector to use instead of the environment's. ``exporter`` replaces OTLP in tests; it
    is redacted like any other. Without either, and without an endpoint in the environment
    (OTEL_EXPORTER_OTLP_[TRACES_]ENDPOINT), spans have ids and are not exported.
    """
    resource = Resource.create({"service.namespace": "lipstage", "service.name": service, "service.version": version})
    provider = TracerProvider(resource=resource, id_generator=PresetIdGenerator(), shutdown_on_exit=False)
    if exporter is None and (endpoint or _is_set("OTLP_ENDPOINT", "OTLP_TRACES_ENDPOINT")):
        exporter = OTLPSpanExporter(
            endpoint=f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None,
            timeout=None if _is_set("OTLP_TIMEOUT", "OTLP_TRACES_TIMEOUT") else EXPORT_S,
        )
        # One line per failed batch, not one per attempt.
        logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").setLevel(logging.ERROR)
    if exporter is not None:
        delay = None if os.environ.get("OTEL_BSP_SCHEDULE_DELAY") else SCHEDULE_MS
        provider.add_span_processor(BatchSpanProcessor(RedactingExporter(exporter), schedule_delay_millis=delay))
    return Tracing(provider.get_tracer("lipstage", version), provider, exports=exporter is not None)


def _is_set(*names: str) -> bool:
    return any(os.environ.get(f"OTEL_EXPORTER_{name}") for name in names)
