"""Jobs that users want cancelled: read from ``render.cancel`` by every service, without a group."""

import json
import threading
import time
from typing import Any

import structlog
from confluent_kafka import KafkaException, TopicPartition

from shared.messages.topics import CANCEL_SEPARATOR, WORK_DAYS
from shared.runtime.kafka_config import METADATA_TIMEOUT_S

HORIZON_S = 2 * WORK_DAYS * 24 * 3600
"""Whatever was cancelled before can't be delivered any more: a queue of renders of hours each may be days long."""
LOOK_S = 5.0
"""How often the size of the topic is asked for."""
DEFAULT_TENANT = "default"
Job = tuple[str, str]
"""Tenant and job id: two tenants may choose the same id."""
log = structlog.get_logger()


class Cancellations:
    """The set of cancelled jobs, kept up to date by a thread of its own."""

    def __init__(self, consumer: Any, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._jobs: dict[Job, float] = {}
        self._followed: set[int] = set()
        self._look = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cancellations", daemon=True)

    def start(self) -> None:
        """Read what is there from the horizon on, then follow."""
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        self._thread.join(timeout=5.0)

    def has(self, tenant: str, job_id: str) -> bool:
        """Whether that tenant wants that job cancelled."""
        return (tenant, job_id) in self._jobs

    def _run(self) -> None:
        try:
            self._assign()
            while not self._stop.is_set():
                message = self._consumer.poll(0.2)
                if message is not None and message.error() is None:
                    self._take(message.key(), message.value())
                self._follow_growth()
        finally:
            self._consumer.close()

    def _assign(self) -> None:
        since = int((time.time() - HORIZON_S) * 1000)
        while not self._stop.is_set():
            try:
                known = self._consumer.list_topics(self._topic, timeout=METADATA_TIMEOUT_S).topics[self._topic]
                wanted = [TopicPartition(self._topic, p, since) for p in known.partitions]
                # Asked for before the times: where no record is young enough, whatever comes after this is.
                ends = {p.partition: self._end(p) for p in wanted}
                found = self._consumer.offsets_for_times(wanted, timeout=METADATA_TIMEOUT_S)
                for p in found:
                    p.offset = p.offset if p.offset >= 0 else ends[p.partition]
                self._consumer.assign(found)
                self._followed = {p.partition for p in found}
                return
            except KafkaException as e:
                log.warning("cancel_topic_unavailable", error=str(e.args[0]))
                self._stop.wait(1.0)

    def _follow_growth(self) -> None:
        """Read partitions that the topic has grown by, from their beginning."""
        if time.monotonic() < self._look:
            return
        self._look = time.monotonic() + LOOK_S
        try:
            known = self._consumer.list_topics(self._topic, timeout=METADATA_TIMEOUT_S).topics[self._topic]
        except KafkaException:
            return  # The broker is away: the topic does not grow, and the client finds it again.
        if new := set(known.partitions) - self._followed:
            self._consumer.incremental_assign([TopicPartition(self._topic, p, 0) for p in sorted(new)])
            self._followed |= new

    def _end(self, partition: TopicPartition) -> int:
        return int(self._consumer.get_watermark_offsets(partition, timeout=METADATA_TIMEOUT_S)[1])

    def _take(self, key: bytes | None, value: bytes | None) -> None:
        """One record: key = tenant and job id, or the job id alone; the value is an object, which names the tenant
        where the key does not. A tombstone takes back what its key names: one job's cancel, or those of every tenant's
        job of that id. What can't be read, or names two tenants, concerns nobody."""
        try:
            tenant, separator, job = (key or b"").decode().rpartition(CANCEL_SEPARATOR)
            if value is None:
                named = {tenant} if separator else {of for of, _ in self._jobs}
                self._jobs = {of: at for of, at in self._jobs.items() if of[1] != job or of[0] not in named}
            elif isinstance(body := json.loads(value), dict) and job:
                told = str(body.get("tenant", tenant if separator else DEFAULT_TENANT))
                if told == tenant or not separator:
                    self._jobs[told, job] = time.time()
        except ValueError:
            log.warning("cancel_unreadable")
        oldest = time.time() - HORIZON_S
        self._jobs = {job: at for job, at in self._jobs.items() if at > oldest}
