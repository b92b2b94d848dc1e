"""Kafka clients: OpenTelemetry's instrumentation on the producer of tasks, raw clients everywhere else.

The instrumented consumer starts a new trace per record and ends the current span at the next keep-alive poll; the
instrumented producer appends a second traceparent to headers that have one. So tasks are sent by the instrumented
producer with fresh headers, dead letters and events by a raw one, and ``cimpl.Consumer`` is never patched.
"""

import threading
from typing import Any

import confluent_kafka
from confluent_kafka import cimpl
from opentelemetry.instrumentation.confluent_kafka import ConfluentKafkaInstrumentor

from shared.telemetry.tracing import Tracing

_lock = threading.Lock()
_instrumented_for: Tracing | None = None


def traced_producer(tracing: Tracing, config: dict[str, Any]) -> Any:
    """A producer whose every send is a span of the current trace.

    Pass ``headers=`` by keyword, as a new list without trace headers: the producer appends to that list, and ignores
    a positional one.
    """
    global _instrumented_for
    with _lock:
        instrumentor = ConfluentKafkaInstrumentor()
        if _instrumented_for is not tracing:
            if instrumentor.is_instrumented_by_opentelemetry:
                instrumentor.uninstrument()
            instrumentor.instrument(tracer_provider=tracing.provider)
            # It also patches the consumer: undone, so that nothing in this process uses that one by accident.
            confluent_kafka.Consumer = cimpl.Consumer  # type: ignore[misc]
            _instrumented_for = tracing
        # An attribute of the module, read after instrument(): a name imported before stays raw.
        return confluent_kafka.Producer(config)


def raw_producer(config: dict[str, Any]) -> Any:
    """A producer that sends headers exactly as given."""
    return cimpl.Producer(config)


def raw_consumer(config: dict[str, Any]) -> Any:
    """A consumer that does not change the trace context."""
    return cimpl.Consumer(config)
