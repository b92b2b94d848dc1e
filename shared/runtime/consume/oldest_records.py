"""How old the oldest record is that a stage has not committed, as a metric by topic.

The stage has not received most records that wait: so a reader without a group fetches one record of each partition with
lag, the one at the committed offset. An idle stage reads nothing.
"""

import time
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from shared.runtime.broker_clock import BrokerClock
from shared.runtime.consume.consumer import record_of
from shared.runtime.consume.statistics import Partition, PartitionStatistics
from shared.telemetry import metrics

READ_S = 5.0
"""Time for one reading of all partitions, seconds; those that have not answered are left out, and the last value stays
where none has."""
POLL_S = 0.2
READER: dict[str, str | int | float | bool] = {
    "enable.partition.eof": True,
    "queued.min.messages": 1,
    "fetch.queue.backoff.ms": 10,
    "max.partition.fetch.bytes": 1024,  # The broker sends one batch, however large it is.
    "statistics.interval.ms": 0,
}
"""Properties of the reader, beside those of every reader."""

log = structlog.get_logger()


class OldestRecords:
    """Keeps the gauge of one topic, or of one lane's topics.

    ``note`` is called by the consumer's thread, ``run`` is a thread of its own.
    """

    def __init__(
        self, topic: str, reader: Callable[[], Any], clock: BrokerClock, covers: Callable[[str], bool] | None = None
    ) -> None:
        """``reader`` makes the consumer, when the first record waits; ``clock`` tells the broker's time. ``covers``
        returns whether a topic's records count, too, where the gauge stands for several topics."""
        self._covers = covers or (lambda name: name == topic)
        self._make_reader = reader
        self._clock = clock
        self._noted: SimpleQueue[list[TopicPartition]] = SimpleQueue()
        self._oldest_ms: int | None = None
        metrics.OLDEST_UNPROCESSED.labels(topic).set_function(self.age_s)

    def note(self, partitions: Mapping[Partition, PartitionStatistics]) -> None:
        """Take the client's statistics of its partitions: where records wait, the oldest is read next."""
        self._noted.put(
            [
                TopicPartition(topic, int(number), one.committed_offset)
                for (topic, number), one in partitions.items()
                if self._covers(topic) and one.desired and one.consumer_lag > 0 and one.committed_offset >= 0
            ]
        )

    def age_s(self) -> float:
        """Age of the oldest record by the broker's clock, seconds; 0 when none waits."""
        oldest_ms, now_ms = self._oldest_ms, self._clock.now_ms()
        return 0.0 if oldest_ms is None or now_ms is None else max(0.0, (now_ms - oldest_ms) / 1000)

    def run(self, stop: Event) -> None:
        """Read what ``note`` reports, until ``stop``. A failed reading keeps the last value: no task depends on it."""
        consumer: Any = None
        while not stop.is_set():
            waiting = self._newest()
            if waiting is None:
                continue
            try:
                if waiting and consumer is None:
                    consumer = self._make_reader()
                self._oldest_ms = self._read(consumer, waiting, stop) if waiting else None
            except KafkaException as e:
                log.warning("oldest_record_not_read", error=e.args[0].name())
            except Exception:
                log.exception("oldest_record_not_read")
        if consumer is not None:
            consumer.close()

    def _newest(self) -> list[TopicPartition] | None:
        """The newest report: a reading may take longer than their interval. None when there is none."""
        newest: list[TopicPartition] | None = None
        try:
            newest = self._noted.get(timeout=POLL_S)
            while True:
                newest = self._noted.get_nowait()
        except Empty:
            return newest

    def _read(self, consumer: Any, waiting: list[TopicPartition], stop: Event) -> int | None:
        """The broker's timestamp of the oldest record, milliseconds since the epoch; None when there is none. The last
        one when no record was read, and a partition has not answered: the records still wait while the broker is away.
        """
        consumer.assign(waiting)
        unread, oldest_ms = {(p.topic, p.partition) for p in waiting}, None
        end = time.monotonic() + READ_S
        try:
            while unread and time.monotonic() < end and not stop.is_set():
                message = consumer.poll(POLL_S)
                if message is None or (place := (message.topic(), message.partition())) not in unread:
                    continue
                error = message.error()
                if error is None or error.code() == KafkaError._PARTITION_EOF:  # It was committed meanwhile.
                    unread.discard(place)
                if error is None:
                    record = record_of(message)
                    appended_ms = record.appended_ms(time.time_ns() // 1_000_000)
                    if not record.producer_time:
                        self._clock.observe(appended_ms)
                    oldest_ms = appended_ms if oldest_ms is None else min(oldest_ms, appended_ms)
        finally:
            consumer.unassign()
        return self._oldest_ms if oldest_ms is None and unread else oldest_ms
