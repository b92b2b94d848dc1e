"""Reads the states of all jobs back from ``render.jobs``, and makes the projection start over where it holds none."""

from collections.abc import Callable, Collection
from urllib.parse import quote

import structlog
from confluent_kafka import TopicPartition

from shared.client import job_fold, topic_log
from shared.client.connection import Connection
from shared.client.job_fold import JobRecord
from shared.client.job_key import JobKey
from shared.client.topic_log import Offsets
from shared.messages.topics import JOBS
from shared.runtime import admin_process
from stages.gateway.projection.job_table import Row, row_of

EVERYTHING = 1 << 62
ANSWER_S = 10.0
FORGET_S = 30.0
log = structlog.get_logger()


def record_key(key: JobKey) -> bytes:
    """The key of a job's record: ``tenant/job``, with what could be confused escaped."""
    return f"{quote(key.tenant, safe='')}/{quote(key.job_id, safe='')}".encode()


def ends(connection: Connection) -> Offsets:
    """The present end of each partition of the topic. Raises BrokerUnreachable, TopicMissing."""
    return topic_log.newest(connection, connection.topic(JOBS), 0).offsets


def read(connection: Connection, still_wanted: Callable[[], bool]) -> list[Row]:
    """The row of the newest record of each job, up to the present end of the topic.

    What is no record of a job is left out, and logged by number. Stops early when ``still_wanted`` turns false. Raises
    BrokerUnreachable, TopicMissing.
    """
    topic = connection.topic(JOBS)
    by_key: dict[bytes, Row | None] = {}  # Rows: decoded states of all jobs would take several times the memory.
    unreadable = 0
    for message in topic_log.records(connection, topic, topic_log.newest(connection, topic, EVERYTHING).offsets):
        key, value = topic_log.key_of(message), topic_log.value_of(message)
        if key is not None and value is None:
            by_key[key] = None
        elif key is not None and value is not None and (record := _own(key, value)) is not None:
            by_key[key] = row_of(record, value)
        else:
            unreadable += 1
        if not still_wanted():
            break
    if unreadable:
        log.warning("states_unreadable", topic=topic, records=unreadable)
    return [row for row in by_key.values() if row is not None]


def _own(key: bytes, value: bytes) -> JobRecord | None:
    """The record, if it lies under its own key."""
    record = job_fold.load(value)
    return record if record is not None and key == record_key(record.key) else None


def start_over(connection: Connection, group: str, topics: Collection[str]) -> bool:
    """Forget what the group has read of the topics, so that it reads them from their beginning; whether it had read
    any.

    Raises ClientError, and KafkaException, also when the group has a member.
    """
    consumer = connection.consumer({"group.id": group})
    try:
        asked = [TopicPartition(topic, one) for topic in topics for one in topic_log.partitions(consumer, topic)]
        committed = consumer.committed(asked, timeout=ANSWER_S)
    finally:
        consumer.close()
    if all(one.offset < 0 for one in committed):
        return False
    return bool(admin_process.ask(connection.settings, "forget_group", FORGET_S, group=group))
