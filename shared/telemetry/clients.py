"""Kafka clients: OpenTelemetry's spans around the sends of tasks, raw clients everywhere else.

The instrumented consumer starts a new trace per record and ends the current span at the next keep-alive poll; the
instrumented producer appends a second traceparent to headers that have one, and injects by the process's global
propagator, which may send baggage. So nothing is instrumented globally: a process may hold several clients, and an
application's own instrumentation stays as it is. Dead letters and events are sent by a raw producer.
"""

from collections.abc import Iterable
from typing import Any

from confluent_kafka import cimpl
from opentelemetry.instrumentation import confluent_kafka as instrumentation
from opentelemetry.trace import get_current_span

from shared.telemetry import propagation
from shared.telemetry.attributes import set_attributes
from shared.telemetry.raw_clients import raw_consumer, raw_producer, with_logger
from shared.telemetry.tracing import Tracing

__all__ = ["TracedProducer", "raw_consumer", "raw_producer", "traced_producer"]


class TracedProducer(cimpl.Producer):
    """A producer whose every send is a span of the current trace."""

    def __init__(self, tracing: Tracing, config: dict[str, Any]) -> None:
        super().__init__(with_logger(config))
        self.config = config
        """The instrumentation reads the broker's address from it."""
        self._tracer = tracing.provider.get_tracer(instrumentation.__name__)

    def produce(  # type: ignore[override]
        self,
        topic: str,
        value: bytes | None = None,
        *,
        headers: Iterable[tuple[str, bytes]] = (),
        **record: Any,
    ) -> None:
        """Send a record. ``headers`` hold no trace headers: those of the send's span are added."""
        send = super().produce

        def with_own_trace_headers(**arguments: Any) -> None:
            partition = record.get("partition", -1)  # Below 0: the client chooses it, when the span has ended.
            set_attributes(
                get_current_span(),
                {
                    "messaging.operation.name": "send",
                    "messaging.destination.partition.id": str(partition) if partition >= 0 else None,
                },
            )
            # In the send's span. What the global propagator wrote is replaced: W3C trace context alone is sent.
            send(**arguments | {"headers": [*headers, *propagation.inject()]})

        arguments = {"topic": topic, "value": value, **record, "headers": []}
        wrap: Any = instrumentation.ConfluentKafkaInstrumentor.wrap_produce
        wrap(with_own_trace_headers, self, self._tracer, (), arguments)


def traced_producer(tracing: Tracing, config: dict[str, Any]) -> TracedProducer:
    """A producer whose every send is a span of the current trace, recorded by ``tracing``."""
    return TracedProducer(tracing, config)
