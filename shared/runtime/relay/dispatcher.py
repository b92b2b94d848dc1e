"""Sends the records that are due, the earliest first, and settles them by their delivery reports."""

import heapq
import time
from collections.abc import Collection
from concurrent.futures import Future
from functools import partial

import structlog
from confluent_kafka import KafkaError
from opentelemetry.trace import Span, SpanKind, Tracer

from shared.messages.codes import Code
from shared.messages.delivery_headers import read_delivery
from shared.messages.pipeline import RELAY
from shared.runtime import trace_context
from shared.runtime.broker_clock import BrokerClock
from shared.runtime.consume.assignment import Record
from shared.runtime.disposition import FailureReason
from shared.runtime.failures import EngineUnavailable, InvalidRecord, RecordRefused
from shared.runtime.process.routing import Router
from shared.runtime.producers import REFUSALS
from shared.runtime.relay.destination import Destinations, returned_headers
from shared.runtime.relay.refusals import Refusals
from shared.runtime.relay.retry_partition import RetryPartition, WaitingRecord
from shared.runtime.relay.sender import BY_KEY, Sender
from shared.runtime.relay.topic_catalogue import TopicCatalogue
from shared.telemetry import metrics
from shared.telemetry.attributes import registered, set_attributes
from shared.telemetry.failing import failed
from shared.telemetry.ids import preset_trace_id

MAX_IN_FLIGHT = 1000
HOLD_BACK_S = 1.0
"""How long a partition rests after a record of it was not accepted, seconds."""
MISSING_S = 5.0
"""A topic that has been missing for this time is not just new, seconds."""
log = structlog.get_logger()


class Dispatcher:
    """Sends records back. Used by one thread, except for the refusals."""

    def __init__(
        self,
        group: str,
        sender: Sender,
        clock: BrokerClock,
        catalogue: TopicCatalogue,
        destinations: Destinations,
        router: Router,
        refusals: Refusals,
        tracer: Tracer,
    ) -> None:
        self._group = group
        self._sender = sender
        self._clock = clock
        self._catalogue = catalogue
        self._destinations = destinations
        self._router = router
        self._refusals = refusals
        self._tracer = tracer
        self._refused: list[tuple[RetryPartition, WaitingRecord, Span, Future[None]]] = []
        self._missing_since: dict[str, float] = {}

    @property
    def missing(self) -> list[str]:
        """Topics, sorted, that every job needs and records wait for."""
        return sorted(topic for topic in self._missing_since if not self._destinations.is_of_engine(topic))

    @property
    def is_saturated(self) -> bool:
        """Whether no record is sent before a report arrives."""
        return self._sender.in_flight >= MAX_IN_FLIGHT

    def dispatch(self, partitions: Collection[RetryPartition]) -> None:
        """Send what is due, in the order in which it became due; the sends are settled during ``take_reports``.

        When the broker's time is needed and not known well enough, ask for it instead: the next calls send.
        """
        waiting = [one for one in partitions if one.may_send(time.monotonic())]
        if not waiting:
            return
        now_ms = self._clock.now_ms()
        if now_ms is None:
            self._sender.probe()
            return
        due: list[tuple[int, int, RetryPartition]] = []
        for number, one in enumerate(waiting):
            one.set_due(now_ms)
            if (at := _due(one)) <= now_ms:
                due.append((at, number, one))
        if not self._clock.is_fresh if due else self._clock.is_stale:
            self._sender.probe()
            return
        heapq.heapify(due)
        while due and not self.is_saturated:
            _, number, one = heapq.heappop(due)
            self._send(one, now_ms)
            if one.may_send(time.monotonic()) and (at := _due(one)) <= now_ms:
                heapq.heappush(due, (at, number, one))

    def take_reports(self, timeout: float = 0.0) -> None:
        """Settle what the broker has accepted; waits at most ``timeout`` seconds for the first report.

        Raises KafkaException for a fatal error of the producer.
        """
        self._sender.serve(timeout)
        refused, self._refused = self._refused, []
        for partition, waiting, span, future in refused:
            if not future.done():
                self._refused.append((partition, waiting, span, future))
                continue
            future.result()  # Raises what no repetition repairs: the service ends.
            set_attributes(span, {"outcome": "dead_letter"})
            span.end()
            partition.settle(waiting)

    def next_due_s(self, partitions: Collection[RetryPartition]) -> float | None:
        """Seconds until the next record is due, 0 when one is; None when none waits or the time is unknown."""
        now_ms = self._clock.now_ms()
        due = [one.first.due_ms for one in partitions if one.first is not None and one.first.due_ms is not None]
        return None if now_ms is None or not due else max(0.0, (min(due) - now_ms) / 1000)

    def _send(self, partition: RetryPartition, now_ms: int) -> None:
        record = partition.take()
        try:
            topic = self._destinations.topic(record.record)
        except InvalidRecord as e:
            self._refuse(partition, record, self._span(record.record, now_ms), Code.POISON, "poison", e)
            return
        count = self._catalogue.partitions(topic)
        if count == 0:
            self._wait_for(topic, partition, record, now_ms)
            return
        self._missing_since.pop(topic, None)
        span = self._span(record.record, now_ms)
        sent = self._sender.send(
            topic,
            BY_KEY if self._destinations.is_keyed(topic) else self._router.choose(topic, count),
            record.record.key,
            record.record.value,
            returned_headers(record.record),
            partial(self._reported, partition, record, span),
        )
        if not sent:
            self._put_back(partition, record)

    def _reported(self, partition: RetryPartition, record: WaitingRecord, span: Span, error: KafkaError | None) -> None:
        """Settle a record by the report of its delivery."""
        if error is None:
            metrics.RETRIES_RELAYED.labels(partition.tier.name).inc()
            set_attributes(span, {"outcome": "relayed"})
            span.end()
            partition.settle(record)
        elif error.code() in REFUSALS:
            refused = RecordRefused(f"{error.name()}: {error.str()}")
            self._refuse(partition, record, span, Code.INTERNAL, "failed", refused)
        else:
            log.warning("retry_not_sent", error=error.name(), text=error.str(), tier=partition.tier.name)
            failed(span, error.name())
            span.end()
            self._put_back(partition, record)

    def _wait_for(self, topic: str, partition: RetryPartition, record: WaitingRecord, now_ms: int) -> None:
        """Wait for a topic that does not exist; an engine's, which may be switched off, only for ``MISSING_S``.

        The copy of the broker's list must be as young: the topic may have been created since a record was refused.
        """
        since = self._missing_since.setdefault(topic, time.monotonic())
        is_missing = time.monotonic() - since > MISSING_S and self._catalogue.age_s < MISSING_S
        if self._destinations.is_of_engine(topic) and is_missing:
            self._catalogue.renew_soon()
            missing = EngineUnavailable(f"the topic {topic} does not exist")
            span = self._span(record.record, now_ms)
            self._refuse(partition, record, span, Code.ENGINE_UNAVAILABLE, "transient_slow", missing)
        else:
            self._put_back(partition, record)

    def _put_back(self, partition: RetryPartition, record: WaitingRecord) -> None:
        partition.put_back(record)
        partition.hold_back(time.monotonic() + HOLD_BACK_S)
        self._catalogue.renew_soon()

    def _refuse(
        self,
        partition: RetryPartition,
        record: WaitingRecord,
        span: Span,
        code: Code,
        failure_class: str,
        error: Exception,
    ) -> None:
        if partition.held:
            reason = FailureReason(code, failure_class, str(error), type(error).__name__)
            self._refused.append((partition, record, span, self._refusals.refuse(record.record, reason, span)))

    def _span(self, record: Record, now_ms: int) -> Span:
        """The process span of the record: the child of the previous attempt's, and not put into the record."""
        origin = trace_context.of_task(record)
        with preset_trace_id(origin.root_id):
            return self._tracer.start_span(
                f"process {record.topic}",
                context=origin.parent,
                kind=SpanKind.CONSUMER,
                links=origin.links,
                attributes=registered(
                    {
                        **trace_context.span_attributes(record, self._group, now_ms - record.timestamp_ms),
                        "stage": RELAY,
                        "attempt": read_delivery(record.headers).attempt,
                    }
                ),
            )


def _due(partition: RetryPartition) -> int:
    """When the first record is due. Raises ValueError without one that has a due time: a bug."""
    if partition.first is None or partition.first.due_ms is None:
        raise ValueError("no record with a due time waits")
    return partition.first.due_ms
