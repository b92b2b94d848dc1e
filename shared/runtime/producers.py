"""Producers of a service: each record's delivery report is awaited before the record it results from is committed."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException

from shared.runtime.consume.assignment import Headers
from shared.runtime.failures import DeliveryFailed, RecordRefused, TopicMissing
from shared.runtime.kafka_config import METADATA_REFRESH_S, METADATA_TIMEOUT_S
from shared.runtime.watched_thread import WatchedThread

POLL_S = 0.1
FLUSH_S = 10.0
NOT_SERVED = "delivery reports are not served any more"
REPORT_S = 1.0
"""How often a wait for a report looks whether reports are still served."""


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
    kind = RecordRefused if error.code() in REFUSALS else TopicMissing if error.code() in MISSING else DeliveryFailed
    return kind(f"{error.name()}: {error.str()}")


class Delivery:
    """The report of one record."""

    def __init__(self, served: Callable[[], bool] = lambda: True) -> None:
        """``served`` tells whether reports can still come."""
        self._report: Future[None] = Future()
        self.served = served

    def reported(self, error: KafkaError | None, _: object) -> None:
        """The producer's callback; runs in the producers's thread, so it only notes."""
        if error is None:
            self._report.set_result(None)
        else:
            self._report.set_exception(_failure(error))

    def unsendable(self, error: Exception) -> None:
        """The client can't put the record into words: a header's name of an odd kind, as others may write them."""
        self._report.set_exception(RecordRefused(f"{type(error).__name__}: {error}"))

    def wait(self) -> None:
        """Block until the record is on the broker. Raises DeliveryFailed, RecordRefused."""
        while True:
            try:
                return self._report.result(timeout=REPORT_S)
            except TimeoutError:
                if not self.served() and not self._report.done():
                    raise DeliveryFailed(NOT_SERVED) from None


class EventProducer(Protocol):
    """Sends records exactly as given: events and dead letters."""

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Delivery:
        """Send; the partition is that of the key (murmur2). Wait for the report before anything is committed."""


class TaskProducer(Protocol):
    """Sends tasks to the next stage."""

    def send_task(self, topic: str, key: str, value: bytes, headers: Headers, partition: int) -> Delivery:
        """Send inside the current span, whose context becomes the next stage's parent."""

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has. Raises TopicMissing, DeliveryFailed."""


class Producers:
    """Two producers, one thread that serves their reports.

    ``traced`` is instrumented: a task's send is a span, and its context the parent of the next stage. ``raw`` sends
    events and dead letters with the headers they are given. Thread-safe.
    """

    def __init__(self, traced: Any, raw: Any, on_failure: Callable[[str], None] = lambda _: None) -> None:
        """``on_failure`` gets the reason when one of the threads has died."""
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
        """Hand a task on, inside the current span. ``headers`` must hold no traceparent: the producer adds it."""
        delivery = Delivery(self._threads[0].is_alive)
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
        """Send a record exactly as given; its partition is that of its key (murmur2)."""
        delivery = Delivery(self._threads[1].is_alive)
        self._produce(self._raw, delivery, topic=topic, key=key, value=value, headers=list(headers))
        return delivery

    def _produce(self, producer: Any, delivery: Delivery, **record: Any) -> None:
        """What the client refuses at once is in the report too, so that there is one place to look."""
        while True:
            try:
                producer.produce(**record, on_delivery=delivery.reported)
                return
            except BufferError:
                if not delivery.served():
                    raise DeliveryFailed(NOT_SERVED) from None
                # The local queue is full: the broker is slow or away. Waiting here is the back-pressure.
                self._stop.wait(POLL_S)
            except KafkaException as e:
                delivery.reported(e.args[0], None)
                return
            except (TypeError, ValueError) as e:
                delivery.unsendable(e)
                return

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has; it may grow. Raises TopicMissing, DeliveryFailed when the broker does not
        say."""
        count, until = self._counts.get(topic, (0, 0.0))
        if time.monotonic() < until:
            return count
        try:
            # By the producer that sends tasks: it must know a partition before it is sent to.
            known = self._traced.list_topics(topic, timeout=METADATA_TIMEOUT_S).topics[topic]
        except KafkaException as e:
            raise DeliveryFailed(f"no metadata of {topic}: {e.args[0]}") from e
        if known.error is not None:
            raise _failure(known.error)
        count = len(known.partitions)
        self._counts[topic] = (count, time.monotonic() + METADATA_REFRESH_S)
        return count

    def close(self) -> None:
        """Wait for what is under way, bounded."""
        for producer in (self._traced, self._raw):
            producer.flush(FLUSH_S)
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=1.0)

    def _serve(self, producer: Any) -> None:
        while not self._stop.is_set():
            producer.poll(POLL_S)
