"""Reads ``render.events``, or a tenant's own topic of events: all partitions, from given offsets, without a group.

A job's events are found by their key on whatever partition they lie: the partition depends on the topic's size when an
event was sent and on the sender's partitioner, and a client controls neither.
"""

from collections.abc import Iterator

from pydantic import ValidationError

from shared.client import topic_log
from shared.client.connection import Connection
from shared.client.errors import TopicMissing
from shared.client.job_key import JobKey
from shared.client.topic_log import Offsets, Window
from shared.messages.events import AnyEvent, parse_event
from shared.messages.topics import EVENTS


def topic(connection: Connection, tenant: str | None = None) -> str:
    """Full name of the topic of a tenant's events; None: of the shared one."""
    return connection.topic(EVENTS) if tenant is None else connection.topic_of(EVENTS, tenant)


def sources(connection: Connection, tenant: str | None = None) -> tuple[str | None, ...]:
    """Whose topics hold the events of a tenant, or of all (None), for the other functions: of each tenant that this
    client sees, where tenants have their own. Raises BrokerUnreachable."""
    if connection.settings.tenancy != "topic" or tenant is not None:
        return (tenant,)
    return (None, *topic_log.tenants(connection))


def windows(
    connection: Connection, count: int, tenant: str | None = None
) -> tuple[list[tuple[str | None, Window]], bool]:
    """At most ``count`` of the newest records of each of the ``sources``, and whether all could be read.

    Of all tenants those are left out whose topics do not exist, or may not be read: a tenant's own client sees its own.
    Raises BrokerUnreachable; TopicMissing when none is left, or the topic of ``tenant`` is missing.
    """
    found: list[tuple[str | None, Window]] = []
    missing: TopicMissing | None = None
    for source in sources(connection, tenant):
        try:
            found.append((source, window(connection, count, source)))
        except TopicMissing as e:
            missing = missing or e
    if missing is not None and not found:
        raise missing
    return found, missing is None


def end(connection: Connection, tenant: str | None = None) -> Offsets:
    """The present end of each partition: later events come after it. Raises BrokerUnreachable, TopicMissing."""
    return newest(connection, 0, tenant)


def newest(connection: Connection, count: int, tenant: str | None = None) -> Offsets:
    """Where to start to read at most ``count`` of the newest records. Raises BrokerUnreachable, TopicMissing."""
    return window(connection, count, tenant).offsets


def window(connection: Connection, count: int, tenant: str | None = None) -> Window:
    """At most ``count`` of the newest records. Raises BrokerUnreachable, TopicMissing."""
    return topic_log.newest(connection, topic(connection, tenant), count)


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


def scan(connection: Connection, offsets: Offsets, *job_ids: str, tenant: str | None = None) -> Iterator[AnyEvent]:
    """Every readable event, or those under one of the job ids, from ``offsets`` to the present end of each partition.

    ``offsets`` is advanced: reading can continue where this stops. Raises BrokerUnreachable.
    """
    keys = {job_id.encode() for job_id in job_ids}
    for message in topic_log.records(connection, topic(connection, tenant), offsets):
        event = parse(message.value()) if not keys or message.key() in keys else None
        if event is not None and (not job_ids or event.job_id in job_ids):
            yield event


def scan_batch(
    connection: Connection, offsets: Offsets, batch_id: str, tenant: str | None = None
) -> Iterator[AnyEvent]:
    """As ``scan``, the events of one batch. Raises BrokerUnreachable."""
    for message in topic_log.records(connection, topic(connection, tenant), offsets):
        event = batch_event_of(batch_id, message.value())
        if event is not None:
            yield event
