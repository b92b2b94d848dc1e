"""Spans of several clients in one process; nothing here needs a broker."""

import confluent_kafka
from opentelemetry import propagate
from opentelemetry.instrumentation.confluent_kafka import ConfluentKafkaInstrumentor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.client import Client, Deployment
from shared.runtime.settings import RuntimeSettings


def recorded(client: Client) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    client.connection.tracing.provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


def send(client: Client, topic: str) -> None:
    client.connection.producer.produce(topic=topic, value=b"v", headers=[])


def test_each_client_records_its_own_sends_and_leaves_the_applications_instrumentation() -> None:
    deployment = Deployment(RuntimeSettings(bootstrap_servers="127.0.0.1:1"))
    propagator = propagate.get_global_textmap()
    application = ConfluentKafkaInstrumentor()
    application.instrument()
    try:
        instrumented = confluent_kafka.Producer, confluent_kafka.Consumer
        first, second = Client(deployment), Client(deployment)
        firsts, seconds = recorded(first), recorded(second)
        send(first, "a")
        send(second, "b")
        send(first, "c")
        assert [span.name for span in firsts.get_finished_spans()] == ["a send", "c send"]
        assert [span.name for span in seconds.get_finished_spans()] == ["b send"]
        assert (confluent_kafka.Producer, confluent_kafka.Consumer) == instrumented
        assert application.is_instrumented_by_opentelemetry
    finally:
        application.uninstrument()
    assert propagate.get_global_textmap() is propagator
    for client in (first, second):
        client.connection.producer.purge()
        client.close()
