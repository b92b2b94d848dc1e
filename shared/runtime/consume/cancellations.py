"""The cancelled jobs, as every service remembers them. It reads all of ``render.cancel``, and where tenants have topics
of their own all of those, without a consumer group."""

import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from shared.messages.cancel import CancelCommand, CancelTombstone, decode_cancel
from shared.messages.topics import WORK_DAYS
from shared.runtime.consume.assignment import Record
from shared.runtime.consume.consumer import record_of
from shared.runtime.consume.membership import is_fatal
from shared.runtime.consume.statistics import FetchStallDetector, Statistics
from shared.runtime.failures import EndsService
from shared.runtime.kafka_config import METADATA_REFRESH_S, METADATA_TIMEOUT_S
from shared.runtime.watched_thread import WatchedThread

HORIZON_S = 2 * WORK_DAYS * 24 * 3600
"""How long a cancel is kept, seconds. A queue of long renders may take days; after this time no task of the job can be
delivered any more."""
POLL_S = 0.2
Partition = tuple[str, int]
log = structlog.get_logger()


class Cancellations:
    """The set of cancelled jobs, kept up to date by a background thread.

    The thread assigns itself all partitions and looks for new ones. No record ends it, whatever its bytes.
    """

    def __init__(
        self,
        consumer: Any,
        topic: str,
        on_failure: Callable[[str], None] = lambda _: None,
        refresh_s: float = METADATA_REFRESH_S,
        *,
        also: Callable[[str], bool] | None = None,
        permits: Callable[[Record, str | None, str], bool] = lambda *_: True,
    ) -> None:
        """``on_failure`` receives the reason when the thread dies; ``refresh_s`` is the interval, in seconds, at which
        it looks for new partitions, and for further topics, of which ``also`` returns whether they are read.
        ``permits`` returns whether the sender of a record may speak for the tenant that it names (None: for all), with
        the job that it names.

        The consumer's ``stats_cb`` must call ``statistics``.
        """
        self._consumer = consumer
        self._topic = topic
        self._refresh_s = refresh_s
        self._also = also
        self._permits = permits
        self._jobs: dict[str, dict[str, float]] = {}
        """Job id -> tenant -> time of the cancel, seconds since the epoch; ids in the order of their last cancel."""
        self._positions: dict[Partition, int] = {}
        self._assign_again = False
        self._fetch_stall = FetchStallDetector()
        self._stalled: str | None = None
        self._stop = threading.Event()
        self._thread = WatchedThread("cancellations", self._run, on_failure, self._stop)

    def start(self) -> None:
        """Start the thread: it reads the topic from the horizon on, then follows it."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        self._thread.join(timeout=5.0)

    def has(self, tenant: str, job_id: str) -> bool:
        """Whether the tenant has cancelled the job; two tenants may choose the same job id."""
        return tenant in self._jobs.get(job_id, ())

    def statistics(self, text: str) -> None:
        """Receive a statistics report of the consumer; it shows partitions that the client no longer fetches."""
        self._stalled = self._fetch_stall.stalled(Statistics.read(text).fetch_states) or self._stalled

    def _run(self) -> None:
        try:
            self._assign()
            refresh_at = time.monotonic() + self._refresh_s
            while not self._stop.is_set():
                if time.monotonic() > refresh_at:
                    self._refresh()
                    refresh_at = time.monotonic() + self._refresh_s
                message = self._consumer.poll(POLL_S)
                if self._stalled is not None:
                    raise EndsService(f"cancels can't be read: {self._stalled}")
                if message is None:
                    continue
                if message.error() is not None:
                    self._on_error(message.error())
                    continue
                self._positions[message.topic(), message.partition()] = message.offset() + 1
                self._take(record_of(message))
        finally:
            self._consumer.close()

    def _on_error(self, error: KafkaError) -> None:
        """The client may report an error of a partition only once; a new assignment makes it try again."""
        if is_fatal(error):
            raise KafkaException(error)
        log.warning("cancel_topic_error", error=error.name(), text=error.str())
        self._assign_again = True

    def _refresh(self) -> None:
        """Assign the partitions that the topic has now. When the broker does not answer, the next refresh does it."""
        try:
            if self._assign_again or set(self._partitions()) != set(self._positions):
                self._assign_again = False
                self._assign_once()
        except KafkaException as e:
            log.warning("cancel_topic_unavailable", error=str(e.args[0]))

    def _assign(self) -> None:
        while not self._stop.is_set():
            try:
                self._assign_once()
                return
            except KafkaException as e:
                log.warning("cancel_topic_unavailable", error=str(e.args[0]))
                self._stop.wait(1.0)

    def _assign_once(self) -> None:
        """Assign all partitions: first from the horizon, later from their positions, new ones from the beginning."""
        partitions = self._partitions()
        if not self._positions:
            self._positions = self._first_positions(partitions)
        self._positions = {p: self._positions.get(p, OFFSET_BEGINNING) for p in partitions}
        self._consumer.assign([TopicPartition(topic, p, offset) for (topic, p), offset in self._positions.items()])
        log.info("cancel_topic_followed", partitions=len(partitions))

    def _partitions(self) -> list[Partition]:
        if self._also is None:
            topics = self._consumer.list_topics(self._topic, timeout=METADATA_TIMEOUT_S).topics
        else:  # Further ones may have been created: the broker lists those that this service may read.
            topics = self._consumer.list_topics(timeout=METADATA_TIMEOUT_S).topics
        metadata = topics.get(self._topic)
        if metadata is None or not metadata.partitions:
            raise KafkaException((metadata and metadata.error) or KafkaError(KafkaError._UNKNOWN_TOPIC))
        names = [self._topic, *(name for name in topics if self._also is not None and self._also(name))]
        return [(name, p) for name in dict.fromkeys(names) for p in topics[name].partitions]

    def _first_positions(self, partitions: list[Partition]) -> dict[Partition, int]:
        since = int((time.time() - HORIZON_S) * 1000)
        times = [TopicPartition(topic, p, since) for topic, p in partitions]
        # Read the ends before the times: a partition without a young record starts there and misses nothing.
        ends = {(p.topic, p.partition): self._end(p) for p in times}
        offsets = self._consumer.offsets_for_times(times, timeout=METADATA_TIMEOUT_S)
        return {(p.topic, p.partition): p.offset if p.offset >= 0 else ends[p.topic, p.partition] for p in offsets}

    def _end(self, partition: TopicPartition) -> int:
        return int(self._consumer.get_watermark_offsets(partition, timeout=METADATA_TIMEOUT_S)[1])

    def _take(self, record: Record) -> None:
        """Apply one record; ignore one that can't be read, names two tenants, or one that its sender may not name."""
        try:
            command = decode_cancel(record.key, record.value)
            if self._permits(record, command.tenant, command.job_id):
                self._apply(command)
        except Exception as e:  # noqa: BLE001 - hostile bytes must not keep the next record from being read
            log.warning("cancel_unreadable", error=type(e).__name__)
        oldest = time.time() - HORIZON_S
        while self._jobs and max(next(iter(self._jobs.values())).values()) <= oldest:
            del self._jobs[next(iter(self._jobs))]

    def _apply(self, record: CancelCommand | CancelTombstone) -> None:
        cancelled_at = self._jobs.pop(record.job_id, {})
        if isinstance(record, CancelCommand):
            cancelled_at = {**cancelled_at, record.tenant: time.time()}
        elif record.tenant is None:
            return
        else:
            cancelled_at = {tenant: s for tenant, s in cancelled_at.items() if tenant != record.tenant}
        if cancelled_at:
            self._jobs[record.job_id] = cancelled_at
