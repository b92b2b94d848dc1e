"""What the relay sends, when it asks for the time, and its spans; the broker is replaced by a list."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import pytest
from confluent_kafka import KafkaError
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span, SpanKind

from shared.messages.codes import Code
from shared.messages.delivery_headers import RETRY_TOPIC
from shared.messages.tiers import Tier
from shared.runtime.consume.assignment import Headers, Record
from shared.runtime.disposition import FailureReason
from shared.runtime.process.routing import RoundRobin
from shared.runtime.relay.destination import Destinations, tiers_of
from shared.runtime.relay.dispatcher import Dispatcher
from shared.runtime.relay.retry_partition import RetryPartition
from shared.telemetry import tracing

TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TIERS = {"10s": 10, "1m": 60}


@dataclass
class Broker:
    """Sender, clock, catalogue and refusals in one: keeps what it is given."""

    now: int | None = 1_000_000
    is_fresh: bool = True
    is_stale: bool = False
    topics: dict[str, int] = field(default_factory=lambda: {"render.face": 4, "render.requests": 4})
    sent: list[tuple[str, int, bytes | None, Headers]] = field(default_factory=list)
    reports: list[Callable[[KafkaError | None], None]] = field(default_factory=list)
    refused: list[tuple[Record, FailureReason]] = field(default_factory=list)
    probes: int = 0
    in_flight: int = 0
    age_s: float = 0.0

    def now_ms(self) -> int | None:
        return self.now

    def probe(self) -> None:
        self.probes += 1

    def partitions(self, topic: str) -> int:
        return self.topics.get(topic, 0)

    def renew_soon(self) -> None:
        pass

    def serve(self, timeout: float) -> None:
        for report in self.reports:
            report(None)
        self.reports.clear()

    def send(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        report: Callable[[KafkaError | None], None],
    ) -> bool:
        self.sent.append((topic, partition, value, headers))
        self.reports.append(report)
        return True

    def refuse(self, record: Record, reason: FailureReason, span: Span) -> "Future[None]":
        self.refused.append((record, reason))
        future: Future[None] = Future()
        future.set_result(None)
        return future


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def dispatcher(broker: Broker, spans: InMemorySpanExporter) -> Dispatcher:
    tracer = tracing.setup("relay", "1", spans)
    made = Dispatcher("group", broker, broker, broker, Destinations(""), RoundRobin(), broker, tracer.tracer)  # type: ignore[arg-type]
    made.flush_spans = tracer.provider.force_flush  # type: ignore[attr-defined]
    return made


def partition(number: int, tier: str, *stamps: int, target: bytes | None = b"render.face") -> RetryPartition:
    """Records with the timestamps, in milliseconds, each its own value."""
    made = RetryPartition(f"render.retry.{tier}", number, Tier(tier, TIERS[tier]))
    for offset, stamp in enumerate(stamps):
        headers = [("traceparent", TRACEPARENT), *([(RETRY_TOPIC, target)] if target is not None else [])]
        value = b"%s/%d/%d" % (tier.encode(), number, stamp)
        made.add(Record(made.topic, number, offset, b"k", value, headers, stamp), stamp + TIERS[tier] * 1000)
    return made


def sent_values(broker: Broker) -> list[bytes | None]:
    return [value for _, _, value, _ in broker.sent]


def test_the_earliest_due_is_first_over_all_partitions_and_nothing_is_early(
    dispatcher: Dispatcher, broker: Broker
) -> None:
    partitions = [
        partition(0, "10s", 989_000, 989_990, 990_001),
        partition(1, "10s", 989_500, 990_000),
        partition(0, "1m", 939_200, 940_001),
    ]
    dispatcher.dispatch(partitions)
    assert sent_values(broker) == [
        b"10s/0/989000",
        b"1m/0/939200",
        b"10s/1/989500",
        b"10s/0/989990",
        b"10s/1/990000",
    ]
    broker.now = 1_000_001
    dispatcher.dispatch(partitions)
    assert sent_values(broker)[5:] == [b"10s/0/990001", b"1m/0/940001"]


@pytest.mark.parametrize(
    ("now", "fresh", "stale", "stamp"),
    [(None, False, True, 0), (1_000_000, False, False, 980_000), (1_000_000, False, True, 999_000)],
    ids=["unknown", "due, and not fresh", "not due, and stale"],
)
def test_time_is_asked_for_before_it_is_trusted(
    dispatcher: Dispatcher, broker: Broker, now: int | None, fresh: bool, stale: bool, stamp: int
) -> None:
    broker.now, broker.is_fresh, broker.is_stale = now, fresh, stale
    dispatcher.dispatch([partition(0, "10s", stamp)])
    assert (broker.probes, broker.sent) == (1, [])


def test_nothing_is_asked_while_nothing_waits(dispatcher: Dispatcher, broker: Broker) -> None:
    broker.now, broker.is_fresh, broker.is_stale = None, False, True
    dispatcher.dispatch([partition(0, "10s")])
    assert broker.probes == 0


def test_not_due_and_known_time_asks_nothing(dispatcher: Dispatcher, broker: Broker) -> None:
    broker.is_fresh = False
    dispatcher.dispatch([partition(0, "10s", 999_000)])
    assert (broker.probes, broker.sent) == (0, [])


def test_span_continues_the_trace_and_the_record_keeps_its_own_context(
    dispatcher: Dispatcher, broker: Broker, spans: InMemorySpanExporter
) -> None:
    dispatcher.dispatch([partition(2, "10s", 980_000)])
    dispatcher.take_reports()
    dispatcher.flush_spans()  # type: ignore[attr-defined]
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind) == ("process render.retry.10s", SpanKind.CONSUMER)
    assert span.parent is not None
    assert format(span.parent.span_id, "016x") == "b7ad6b7169203331"
    assert [format(link.context.span_id, "016x") for link in span.links] == ["b7ad6b7169203331"]
    assert span.attributes is not None
    assert (span.attributes["outcome"], span.attributes["queue.wait_ms"]) == ("relayed", 20_000)
    assert list(broker.sent[0][3]) == [("traceparent", TRACEPARENT)]


def test_error_that_time_heals_keeps_the_record_and_the_order(dispatcher: Dispatcher, broker: Broker) -> None:
    one = partition(0, "10s", 980_000, 980_001)
    dispatcher.dispatch([one])
    failed, second = broker.reports
    failed(KafkaError(KafkaError._UNKNOWN_PARTITION))
    second(None)
    dispatcher.dispatch([one])
    assert (len(broker.sent), one.committable()) == (2, 0)
    assert one.may_send(float("inf"))
    dispatcher.dispatch([one])
    assert sent_values(broker)[2:] == [b"10s/0/980000"]
    broker.reports[2](None)
    assert one.committable() == 2


def test_record_that_the_broker_never_accepts_is_refused(dispatcher: Dispatcher, broker: Broker) -> None:
    one = partition(0, "10s", 980_000)
    dispatcher.dispatch([one])
    broker.reports.pop()(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    assert [(reason.code, reason.exception) for _, reason in broker.refused] == [(Code.INTERNAL, "RecordRefused")]
    assert one.committable() == 0, "not before it is a dead letter"
    dispatcher.take_reports()
    assert one.committable() == 1


@pytest.mark.parametrize(
    "target", [None, b"", b"render.dlq", b"render.retry.10s", b"RENDER.FACE", b"other.render.face"]
)
def test_record_that_names_no_topic_of_a_stage_is_refused(
    dispatcher: Dispatcher, broker: Broker, target: bytes | None
) -> None:
    dispatcher.dispatch([partition(0, "10s", 980_000, target=target)])
    assert (broker.sent, [reason.code for _, reason in broker.refused]) == ([], [Code.POISON])


@pytest.mark.parametrize(("age_s", "refused"), [(0.0, [Code.ENGINE_UNAVAILABLE]), (60.0, [])])
def test_topic_of_an_engine_is_missing_only_by_a_young_list(
    dispatcher: Dispatcher, broker: Broker, monkeypatch: pytest.MonkeyPatch, age_s: float, refused: list[Code]
) -> None:
    """It may have been created since the last record for it was refused."""
    now = [1000.0]
    monkeypatch.setattr("shared.runtime.relay.dispatcher.time.monotonic", lambda: now[0])
    one = partition(0, "10s", 980_000, target=b"render.infer.sonic")
    dispatcher.dispatch([one])
    assert broker.refused == [], "it may be new"
    now[0] += 3600
    broker.age_s = age_s
    dispatcher.dispatch([one])
    assert [reason.code for _, reason in broker.refused] == refused


def test_report_for_a_partition_that_another_relay_owns_refuses_nothing(dispatcher: Dispatcher, broker: Broker) -> None:
    one = partition(0, "10s", 980_000)
    dispatcher.dispatch([one])
    one.held = False
    broker.reports[0](KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    assert broker.refused == []


def test_every_retry_topic_of_the_prefix_has_its_tier() -> None:
    names = ["render.retry.10s", "a.render.retry.10s", "a.render.retry.2h", "a.render.retry.x", "a.render.retry.", "b"]
    assert tiers_of("a.", names) == {"a.render.retry.10s": Tier("10s", 10), "a.render.retry.2h": Tier("2h", 7200)}
