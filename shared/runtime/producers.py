"""The producers of a service and their delivery reports: what the broker refused, what it did not answer.

Every delivery report is awaited before the consumed record is committed."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException

from shared.runtime.broker_clock import BrokerClock
from shared.runtime.consume.assignment import Headers
from shared.runtime.consume.membership import is_fatal
from shared.runtime.failures import DeliveryFailed, ProducerFailed, RecordRefused, TopicMissing
from shared.runtime.kafka_config import METADATA_REFRESH_S, METADATA_TIMEOUT_S
from shared.runtime.watched_thread import WatchedThread

POLL_S = 0.1
FLUSH_S = 10.0
NOT_SERVED = "the thread that serves delivery reports has ended"
REPORT_S = 1.0
"""How often a wait for a report checks that reports are still served, seconds."""


REFUSALS = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError._INVALID_ARG,
        KafkaError._BAD_MSG,
    }
)
MISSING = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError.TOPIC_AUTHORIZATION_FAILED}
)


def _failure(error: KafkaError) -> DeliveryFailed:
    kind = DeliveryFailed
    if is_fatal(error):
        kind = ProducerFailed
    elif error.code() in REFUSALS:
        kind = RecordRefused
    elif error.code() in MISSING:
        kind = TopicMissing
    return kind(f"{error.name()}: {error.str()}")


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where the broker has put a record, and when: its own clock, milliseconds since the epoch, on every topic with
    LogAppendTime."""

    partition: int
    offset: int
    timestamp_ms: int


class Delivery:
    """The delivery report of one record."""

    def __init__(self, served: Callable[[], bool] = lambda: True, clock: BrokerClock | None = None) -> None:
        """``served`` returns whether reports can still arrive; ``clock`` notes the broker's time of each."""
        self._clock = clock
        self._sent_at = clock.sent() if clock is not None else 0.0
        self._report: Future[Delivered] = Future()
        self.served = served

    def reported(self, error: KafkaError | None, message: Any) -> None:
        """The producer's callback. It runs in the thread that polls the producer, so it only stores the result."""
        if error is None:
            kind, timestamp_ms = message.timestamp()
            if self._clock is not None and kind == TIMESTAMP_LOG_APPEND_TIME:
                self._clock.reported(timestamp_ms, self._sent_at)
            self._report.set_result(Delivered(message.partition(), message.offset(), timestamp_ms))
        else:
            self._report.set_exception(_failure(error))

    def unsendable(self, error: Exception) -> None:
        """Note that the client can't serialise the record, for example because of a header's name."""
        self._report.set_exception(RecordRefused(f"{type(error).__name__}: {error}"))

    @property
    def refused(self) -> DeliveryFailed | None:
        """Why the record was not delivered; None when it was, or when there is no report yet. Never blocks."""
        error = self._report.exception(timeout=0) if self._report.done() else None
        return error if isinstance(error, DeliveryFailed) else None

    def wait(self) -> Delivered:
        """Block until the broker has the record. Raises DeliveryFailed, RecordRefused, TopicMissing."""
        while True:
            try:
                return self._report.result(timeout=REPORT_S)
            except TimeoutError:
                if not self.served() and not self._report.done():
                    raise DeliveryFailed(NOT_SERVED) from None


class EventProducer(Protocol):
    """Sends records exactly as given: events and dead letters."""

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Delivery:
        """Send; the key chooses the partition (murmur2). Wait for the delivery before a commit."""


class TaskProducer(Protocol):
    """Sends tasks to the next stage."""

    def send_task(self, topic: str, key: str, value: bytes, headers: Headers, partition: int) -> Delivery:
        """Send inside the current span, whose context becomes the parent of the next stage."""

    def partitions(self, topic: str) -> int:
        """Number of partitions of the topic. Raises TopicMissing, DeliveryFailed."""


class Producers:
    """Two producers, and a thread for each that serves its delivery reports. Thread-safe.

    ``traced`` is instrumented: a task's send is a span, and its context the parent of the next stage. ``raw`` sends
    events and dead letters with the given headers.
    """

    def __init__(self, traced: Any, raw: Any, on_failure: Callable[[str], None] = lambda _: None) -> None:
        """``on_failure`` receives the reason when one of the threads dies."""
        self.clock = BrokerClock()
        """The broker's time, by the delivery reports."""
        self._traced = traced
        self._raw = raw
        self._counts: dict[str, tuple[int, float]] = {}
        self._stop = threading.Event()
        self._threads = [
            WatchedThread(f"reports-{name}", partial(self._serve, producer), on_failure, self._stop)
            for name, producer in (("traced", traced), ("raw", raw))
        ]
        for thread in self._threads:
            thread.start()

    def send_task(self, topic: str, key: str, value: bytes, headers: Headers, partition: int) -> Delivery:
        """Send a task, inside the current span. ``headers`` must hold no traceparent: the producer adds it."""
        delivery = Delivery(self._threads[0].is_alive, self.clock)
        self._produce(
            self._traced,
            delivery,
            topic=topic,
            key=key.encode(),
            value=value,
            headers=list(headers),
            partition=partition,
        )
        return delivery

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Delivery:
        """Send a record exactly as given; its key chooses the partition (murmur2)."""
        delivery = Delivery(self._threads[1].is_alive, self.clock)
        self._produce(self._raw, delivery, topic=topic, key=key, value=value, headers=list(headers))
        return delivery

    def _produce(self, producer: Any, delivery: Delivery, **record: Any) -> None:
        """Produce the record. An immediate refusal of the client is reported by the delivery, too."""
        while True:
            try:
                producer.produce(**record, on_delivery=delivery.reported)
                return
            except BufferError:
                if not delivery.served():
                    raise DeliveryFailed(NOT_SERVED) from None
                # The local queue is full: the broker is slow or unreachable. Waiting here is the back-pressure.
                self._stop.wait(POLL_S)
            except KafkaException as e:
                delivery.reported(e.args[0], None)
                return
            except (TypeError, ValueError) as e:
                delivery.unsendable(e)
                return

    def partitions(self, topic: str) -> int:
        """Number of partitions of the topic, cached for ``METADATA_REFRESH_S``. Raises TopicMissing, and DeliveryFailed
        when the broker does not answer."""
        count, expires = self._counts.get(topic, (0, 0.0))
        if time.monotonic() < expires:
            return count
        try:
            # By the producer that sends tasks: it must know a partition before it sends to it.
            metadata = self._traced.list_topics(topic, timeout=METADATA_TIMEOUT_S).topics[topic]
        except KafkaException as e:
            raise DeliveryFailed(f"no metadata of {topic}: {e.args[0]}") from e
        if metadata.error is not None:
            raise _failure(metadata.error)
        count = len(metadata.partitions)
        self._counts[topic] = (count, time.monotonic() + METADATA_REFRESH_S)
        return count

    def close(self) -> None:
        """Wait for outstanding deliveries, at most ``FLUSH_S`` a producer, and end the threads."""
        for producer in (self._traced, self._raw):
            producer.flush(FLUSH_S)
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=1.0)

    def _serve(self, producer: Any) -> None:
        while not self._stop.is_set():
            producer.poll(POLL_S)
