"""Trace context in Kafka headers: one traceparent, one trace, and no failure from a malformed header."""

from uuid import uuid4

import confluent_kafka
import pytest
from confluent_kafka import cimpl
from confluent_kafka.admin import AdminClient, NewTopic
from opentelemetry import baggage, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import attach, detach
from opentelemetry.instrumentation.confluent_kafka import ConfluentKafkaInstrumentor
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.telemetry.clients import raw_consumer, raw_producer, traced_producer
from shared.telemetry.propagation import extract, inject, parent, trace_id, traceparent

GOOD = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-03"
STALE = b"00-" + b"c" * 32 + b"-" + b"d" * 16 + b"-01"


def test_last_value_is_used_whatever_the_case_of_its_name() -> None:
    assert trace_id(extract([("traceparent", STALE), ("TraceParent", GOOD)])) == "a" * 32


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [],
        [("traceparent", None)],
        [("traceparent", b"")],
        [("traceparent", b"\xff\xfe")],
        [("traceparent", b"00-zz-1-01")],
        [("traceparent", b"00-" + b"0" * 32 + b"-" + b"b" * 16 + b"-01")],
        [("tracestate", b"\xff")],
    ],
)
def test_malformed_headers_give_no_context(headers) -> None:
    assert trace_id(extract(headers)) is None


def test_malformed_header_does_not_affect_a_valid_one() -> None:
    assert trace_id(extract([("traceparent", GOOD), ("tracestate", b"\xff"), ("baggage", b"\xfe")])) == "a" * 32


def state(*headers: tuple[str, bytes]) -> str:
    context = extract([("traceparent", GOOD), *headers])
    return trace.get_current_span(context).get_span_context().trace_state.to_header()


def test_several_tracestates_are_one_list_in_order() -> None:
    assert state(("tracestate", b"a=1, b=2"), ("TraceState", b"c=3")) == "a=1,b=2,c=3"
    assert state(("tracestate", b"a=1"), ("tracestate", b"\xff"), ("tracestate", b" ,\t,"), ("tracestate", b"b=2"),
                 ("tracestate", b"")) == "a=1,b=2"  # fmt: skip


def test_first_of_two_members_with_one_key_counts() -> None:
    assert state(("tracestate", b"a=new,b=2"), ("tracestate", b"b=old,a=old,c=3")) == "a=new,b=2,c=3"


def test_tracestate_has_32_members_at_most() -> None:
    first, second = (",".join(f"k{n}=v" for n in range(*span)).encode() for span in ((0, 20), (20, 40)))
    assert state(("tracestate", first), ("tracestate", second)) == ",".join(f"k{n}=v" for n in range(32))


def test_long_tracestate_is_cut_at_members() -> None:
    """A forged one would travel with every record of the job."""
    members = [f"k{n}={'v' * 60}" for n in range(20)]
    kept = state(("tracestate", ",".join(["long=" + "x" * 200, *members]).encode())).split(",")
    assert kept == members[: len(kept)]
    assert 400 < len(",".join(kept)) <= 512
    assert len(state(("tracestate", b"a=" + b"x" * 10_000))) <= 512
    assert state(("tracestate", b"long=" + b"x" * 200), ("tracestate", b"a=1")).startswith("long="), (
        "512 is not reached"
    )


FORGED = [
    [("baggage", b"department=hr,tenant=other,owner=bob")],
    [("baggage", b"department=hr"), ("Baggage", b"department=it"), ("BAGGAGE", b"owner=bob")],
    [("baggage", b"department=" + b"x" * 10_000)],
    [("baggage", "department=Forschung und Entwicklung \u00e4\u00f6".encode())],
    [("baggage", b"\xff\xfe\x00")],
    [("baggage", None), ("baggage", b"")],
    [("traceparent", b"x" * 10_000), ("tracestate", b"x" * 10_000)],
    [("trac\u00e9parent", STALE), ("traceparent ", STALE)],
]


@pytest.mark.parametrize("headers", FORGED)
def test_forged_headers_add_nothing_to_the_context_or_the_next_record(headers, recorded) -> None:
    context = extract([*headers, ("traceparent", GOOD)])
    assert dict(baggage.get_all(context)) == {}
    assert trace_id(context) == "a" * 32
    with recorded.tracer.start_as_current_span("process", context):
        sent = inject()
    assert [name for name, _ in sent] == ["traceparent"]
    assert "bob" not in str(recorded.one().attributes)


def test_malformed_member_drops_the_state_and_not_the_trace() -> None:
    assert state(("tracestate", b"a=1"), ("tracestate", b"no member")) == ""
    assert trace_id(extract([("tracestate", b"no member"), ("traceparent", GOOD)])) == "a" * 32


def test_combined_state_is_injected_as_one_header(recorded) -> None:
    sender = extract([("tracestate", b"a=1"), ("traceparent", GOOD), ("tracestate", b"b=2")])
    with recorded.tracer.start_as_current_span("a", context=sender):
        assert [value for name, value in inject() if name == "tracestate"] == [b"a=1,b=2"]


def test_extraction_ignores_the_current_span(recorded) -> None:
    with recorded.tracer.start_as_current_span("ambient"):
        assert trace_id(extract([])) is None


def test_injection_writes_one_traceparent_and_no_baggage(recorded) -> None:
    with recorded.tracer.start_as_current_span("a") as span:
        context = baggage.set_baggage("owner", "bob")
        headers = inject(context)
        own = trace_id()
    assert [name for name, _ in headers] == ["traceparent"]
    assert trace_id(extract(headers)) == own == format(span.get_span_context().trace_id, "032x")
    assert inject(extract([])) == []


def test_stored_traceparent_is_read_back(recorded) -> None:
    with recorded.tracer.start_as_current_span("a"):
        stored = traceparent(trace.set_span_in_context(trace.get_current_span()))
        assert trace_id(parent(stored)) == trace_id()
    assert trace_id(parent(None)) is None
    assert trace_id(parent("§ not ascii")) is None


@pytest.fixture
def bootstrap(stack) -> str:
    return stack.bootstrap_servers


@pytest.fixture
def topic(bootstrap: str) -> str:
    name = f"telemetry-{uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, num_partitions=1)])[name].result(30)
    return name


def _receive(bootstrap: str, topic: str) -> cimpl.Message:
    consumer = raw_consumer({"bootstrap.servers": bootstrap, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING)])
    try:
        for _ in range(300):
            message = consumer.poll(0.1)
            if message is not None and not message.error():
                return message
    finally:
        consumer.close()
    raise AssertionError("no record arrived")


def test_two_hops_are_one_trace(recorded, bootstrap: str, topic: str) -> None:
    producer = traced_producer(recorded.tracing, {"bootstrap.servers": bootstrap})
    with recorded.tracer.start_as_current_span("submit render.requests") as submit:
        token = attach(baggage.set_baggage("owner", "canary"))
        producer.produce(topic=topic, value=b"v", key=b"k", headers=[("ce_id", b"1")], partition=0)
        detach(token)
    assert producer.flush(30) == 0
    message = _receive(bootstrap, topic)
    names = [name for name, _ in message.headers()]
    assert sorted(names) == ["ce_id", "traceparent"]
    remote = extract(message.headers())
    sender = trace.get_current_span(remote).get_span_context()
    with recorded.tracer.start_as_current_span(
        f"process {topic}", context=remote, kind=SpanKind.CONSUMER, links=[Link(sender)]
    ):
        pass
    spans = {span.name: span for span in recorded.spans()}
    send, process = spans[f"send {topic}"], spans[f"process {topic}"]
    assert {span.context.trace_id for span in spans.values()} == {submit.get_span_context().trace_id}
    assert send.parent.span_id == submit.get_span_context().span_id
    assert process.parent.span_id == send.context.span_id == process.links[0].context.span_id
    expected = {"system": "kafka", "operation.name": "send", "operation.type": "send", "destination.name": topic}
    expected["destination.partition.id"] = "0"
    assert {key: send.attributes.get(f"messaging.{key}") for key in expected} == expected
    assert send.kind is SpanKind.PRODUCER


def test_nothing_is_instrumented_globally(recorded) -> None:
    """An application may instrument Kafka itself, and has a propagator of its own."""
    before = (confluent_kafka.Producer, confluent_kafka.Consumer, propagate.get_global_textmap())
    host = ConfluentKafkaInstrumentor()
    host.instrument(tracer_provider=recorded.tracing.provider)
    try:
        instrumented = (confluent_kafka.Producer, confluent_kafka.Consumer)
        other = type(recorded)()
        traced_producer(other.tracing, {"bootstrap.servers": "127.0.0.1:1"})
        assert host.is_instrumented_by_opentelemetry
        assert (confluent_kafka.Producer, confluent_kafka.Consumer) == instrumented
        other.tracing.shutdown()
    finally:
        host.uninstrument()
    assert (confluent_kafka.Producer, confluent_kafka.Consumer, propagate.get_global_textmap()) == before
    assert type(raw_producer({"bootstrap.servers": "127.0.0.1:1"})) is cimpl.Producer


def test_producers_of_two_tracings_send_spans_each_to_its_own(recorded) -> None:
    other = type(recorded)()
    config = {"bootstrap.servers": "127.0.0.1:1"}
    first, second = traced_producer(recorded.tracing, config), traced_producer(other.tracing, config)
    second.produce(topic="b", value=b"v", headers=[])
    first.produce(topic="a", value=b"v", headers=[])
    assert [span.name for span in other.spans()] == ["send b"]
    assert [span.name for span in recorded.spans()] == ["send a"]
    other.tracing.shutdown()
    for producer in (first, second):
        producer.purge()


def test_global_propagator_of_the_application_does_not_change_what_is_sent(recorded, bootstrap, topic) -> None:
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()]))
    token = attach(baggage.set_baggage("owner", "canary"))
    try:
        producer = traced_producer(recorded.tracing, {"bootstrap.servers": bootstrap})
        producer.produce(topic=topic, value=b"v", headers=[("ce_id", b"1")], partition=0)
    finally:
        detach(token)
        propagate.set_global_textmap(before)
    assert producer.flush(30) == 0
    assert [name for name, _ in _receive(bootstrap, topic).headers()] == ["ce_id", "traceparent"]
