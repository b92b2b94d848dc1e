"""Jobs that users want cancelled: read from ``render.cancel`` by every service, without a group."""

import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from shared.messages.cancel import CancelCommand, CancelTombstone, decode_cancel
from shared.messages.topics import WORK_DAYS
from shared.runtime.consume.statistics import FetchStallDetector, Statistics
from shared.runtime.failures import EndsService
from shared.runtime.kafka_config import METADATA_REFRESH_S, METADATA_TIMEOUT_S
from shared.runtime.watched_thread import WatchedThread

HORIZON_S = 2 * WORK_DAYS * 24 * 3600
"""Whatever was cancelled before can't be delivered any more: a queue of renders of hours each may be days long."""
POLL_S = 0.2
log = structlog.get_logger()


class Cancellations:
    """The set of cancelled jobs, kept up to date by a thread of its own.

    It assigns itself all partitions, so it also looks for new ones; no record, whatever its bytes, ends it.
    """

    def __init__(
        self,
        consumer: Any,
        topic: str,
        on_failure: Callable[[str], None] = lambda _: None,
        refresh_s: float = METADATA_REFRESH_S,
    ) -> None:
        """``on_failure`` gets the reason when the thread has died; ``refresh_s`` is how often it looks for partitions.

        The consumer's ``stats_cb`` should be ``statistics``.
        """
        self._consumer = consumer
        self._topic = topic
        self._refresh_s = refresh_s
        self._jobs: dict[str, dict[str, float]] = {}
        """When each tenant's job of that id was cancelled; ids in the order of their last cancel."""
        self._positions: dict[int, int] = {}
        self._assign_again = False
        self._fetch_stall = FetchStallDetector()
        self._stuck: str | None = None
        self._stop = threading.Event()
        self._thread = WatchedThread("cancellations", self._run, on_failure, self._stop)

    def start(self) -> None:
        """Read what is there from the horizon on, then follow."""
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        self._thread.join(timeout=5.0)

    def has(self, tenant: str, job_id: str) -> bool:
        """Whether that tenant wants that job cancelled: two tenants may choose the same id."""
        return tenant in self._jobs.get(job_id, ())

    def statistics(self, text: str) -> None:
        """The consumer's statistics: a partition that the client does not fetch any more is seen here."""
        self._stuck = self._fetch_stall.stuck(Statistics.read(text).fetch_states) or self._stuck

    def _run(self) -> None:
        try:
            self._assign()
            look_at = time.monotonic() + self._refresh_s
            while not self._stop.is_set():
                if time.monotonic() > look_at:
                    self._look()
                    look_at = time.monotonic() + self._refresh_s
                message = self._consumer.poll(POLL_S)
                if self._stuck is not None:
                    raise EndsService(f"cancels can't be read: {self._stuck}")
                if message is None:
                    continue
                if message.error() is not None:
                    self._on_error(message.error())
                    continue
                self._positions[message.partition()] = message.offset() + 1
                self._take(message.key(), message.value())
        finally:
            self._consumer.close()

    def _on_error(self, error: KafkaError) -> None:
        """The client may tell an error of a partition only once: assigning it again makes it try, or tell, again."""
        if error.fatal():
            raise KafkaException(error)
        log.warning("cancel_topic_error", error=error.name(), text=error.str())
        self._assign_again = True

    def _look(self) -> None:
        """Follow partitions that the topic has now; those that can't be asked for now are asked for later."""
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
        """All partitions: at first from the horizon on, later from where each has got to; new ones are young."""
        partitions = self._partitions()
        if not self._positions:
            self._positions = self._begin(partitions)
        self._positions = {p: self._positions.get(p, OFFSET_BEGINNING) for p in partitions}
        self._consumer.assign([TopicPartition(self._topic, p, at) for p, at in self._positions.items()])
        log.info("cancel_topic_followed", partitions=len(partitions))

    def _partitions(self) -> list[int]:
        known = self._consumer.list_topics(self._topic, timeout=METADATA_TIMEOUT_S).topics[self._topic]
        if not known.partitions:
            raise KafkaException(known.error or KafkaError(KafkaError._UNKNOWN_TOPIC))
        return list(known.partitions)

    def _begin(self, partitions: list[int]) -> dict[int, int]:
        since = int((time.time() - HORIZON_S) * 1000)
        wanted = [TopicPartition(self._topic, p, since) for p in partitions]
        # Asked for before the times: where no record is young enough, whatever comes after this is.
        ends = {p.partition: self._end(p) for p in wanted}
        found = self._consumer.offsets_for_times(wanted, timeout=METADATA_TIMEOUT_S)
        return {p.partition: p.offset if p.offset >= 0 else ends[p.partition] for p in found}

    def _end(self, partition: TopicPartition) -> int:
        return int(self._consumer.get_watermark_offsets(partition, timeout=METADATA_TIMEOUT_S)[1])

    def _take(self, key: bytes | None, value: bytes | None) -> None:
        """Apply one record; one that can't be read, or names two tenants, is ignored."""
        try:
            self._apply(decode_cancel(key, value))
        except Exception as e:  # noqa: BLE001 - whatever a parser makes of hostile bytes, the next record must be read
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
