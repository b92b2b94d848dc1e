"""Reads ``render.events``: all partitions, from given offsets, without a consumer group.

A job's events are found by their key on whatever partition they lie: the partition depends on the topic's size when an
event was sent and on the sender's partitioner, and a client controls neither.
"""

from collections.abc import Iterator

from pydantic import ValidationError

from shared.client import topic_log
from shared.client.connection import Connection
from shared.client.job_key import JobKey
from shared.client.topic_log import Offsets, Window
from shared.messages.events import AnyEvent, parse_event
from shared.messages.topics import EVENTS


def end(connection: Connection) -> Offsets:
    """The present end of each partition: later events come after it. Raises BrokerUnreachable, TopicMissing."""
    return newest(connection, 0)


def newest(connection: Connection, count: int) -> Offsets:
    """Where to start to read at most ``count`` of the newest records. Raises BrokerUnreachable, TopicMissing."""
    return window(connection, count).offsets


def window(connection: Connection, count: int) -> Window:
    """At most ``count`` of the newest records. Raises BrokerUnreachable, TopicMissing."""
    return topic_log.newest(connection, connection.topic(EVENTS), count)


def parse(value: bytes | None) -> AnyEvent | None:
    """An event; None for a record that is not one, or one of an unknown version."""
    try:
        return parse_event(value)
    except ValidationError:
        return None


def event_of(job: JobKey, key: bytes | None, value: bytes | None) -> AnyEvent | None:
    """A record's event if it belongs to the job. The key rules most other records out before anything is parsed."""
    if key != job.job_id.encode():
        return None
    event = parse(value)
    return event if event is not None and (event.tenant, event.job_id) == job else None


def batch_event_of(batch_id: str, value: bytes | None) -> AnyEvent | None:
    """A record's event if it belongs to the batch of any tenant; most other records are ruled out unparsed."""
    if batch_id.encode() not in (value or b""):
        return None
    event = parse(value)
    return event if event is not None and event.batch is not None and event.batch.id == batch_id else None


def scan(connection: Connection, offsets: Offsets, job_id: str | None = None) -> Iterator[AnyEvent]:
    """Every readable event, or those under one job id, from ``offsets`` to the present end of each partition.

    ``offsets`` is advanced: reading can continue where this stops. Raises BrokerUnreachable.
    """
    key = job_id.encode() if job_id is not None else None
    for message in topic_log.records(connection, connection.topic(EVENTS), offsets):
        event = parse(message.value()) if key is None or message.key() == key else None
        if event is not None and job_id in (None, event.job_id):
            yield event


def scan_batch(connection: Connection, offsets: Offsets, batch_id: str) -> Iterator[AnyEvent]:
    """As ``scan``, the events of one batch. Raises BrokerUnreachable."""
    for message in topic_log.records(connection, connection.topic(EVENTS), offsets):
        event = batch_event_of(batch_id, message.value())
        if event is not None:
            yield event
