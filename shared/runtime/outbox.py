"""Everything a service produces goes through here, and is known to be on the broker before anything is committed."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from shared.runtime.kafka_config import METADATA_REFRESH_S, METADATA_TIMEOUT_S
from shared.runtime.record import Headers
from shared.runtime.watched_thread import WatchedThread

POLL_S = 0.1
FLUSH_S = 10.0
NOT_SERVED = "delivery reports are not served any more"
REPORT_S = 1.0
"""How often a wait for a report looks whether reports are still served."""


class DeliveryFailed(Exception):
    """The broker did not take a record within delivery.timeout.ms, or refused it."""


class Delivery:
    """The report of one record."""

    def __init__(self, served: Callable[[], bool] = lambda: True) -> None:
        """``served`` tells whether reports can still come."""
        self._report: Future[None] = Future()
        self._served = served

    def reported(self, error: KafkaError | None, _: object) -> None:
        """The producer's callback; runs in the outbox's thread, so it only notes."""
        if error is None:
            self._report.set_result(None)
        else:
            self._report.set_exception(DeliveryFailed(f"{error.name()}: {error.str()}"))

    def wait(self) -> None:
        """Block until the record is on the broker. Raises DeliveryFailed."""
        while True:
            try:
                return self._report.result(timeout=REPORT_S)
            except TimeoutError:
                if not self._served() and not self._report.done():
                    raise DeliveryFailed(NOT_SERVED) from None


class Outbox:
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
        served = self._threads[0].is_alive
        delivery = Delivery(served)
        self._produce(
            self._traced,
            served,
            topic=topic,
            key=key.encode(),
            value=value,
            headers=list(headers),
            partition=partition,
            on_delivery=delivery.reported,
        )
        return delivery

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Delivery:
        """Send a record exactly as given; its partition is that of its key (murmur2)."""
        served = self._threads[1].is_alive
        delivery = Delivery(served)
        self._produce(
            self._raw, served, topic=topic, key=key, value=value, headers=list(headers), on_delivery=delivery.reported
        )
        return delivery

    def _produce(self, producer: Any, served: Callable[[], bool], **record: Any) -> None:
        while True:
            try:
                producer.produce(**record)
                return
            except BufferError:
                if not served():
                    raise DeliveryFailed(NOT_SERVED) from None
                # The local queue is full: the broker is slow or away. Waiting here is the back-pressure.
                self._stop.wait(POLL_S)
            except KafkaException as e:
                raise DeliveryFailed(str(e.args[0])) from e

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has; it may grow. Raises DeliveryFailed when the broker does not say."""
        count, until = self._counts.get(topic, (0, 0.0))
        if time.monotonic() < until:
            return count
        try:
            # By the producer that sends tasks: it must know a partition before it is sent to.
            known = self._traced.list_topics(topic, timeout=METADATA_TIMEOUT_S).topics[topic]
        except KafkaException as e:
            raise DeliveryFailed(f"no metadata of {topic}: {e.args[0]}") from e
        if known.error is not None:
            raise DeliveryFailed(f"{topic}: {known.error.name()}")
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
