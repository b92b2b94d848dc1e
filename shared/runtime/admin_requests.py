"""Requests of the admin client to a broker, as functions from JSON to JSON; `admin_process` runs them in a process.

``python -m shared.runtime.admin_requests`` reads one request from stdin and writes one answer to stdout. Most requests
need the broker's address alone: a command waits for them, so the process loads the settings models only for the others.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec

from shared.runtime.admin_answers import LATE_ANSWER_S, answered
from shared.runtime.kafka_config import METADATA_TIMEOUT_S, UNLOGGED, BrokerAddress, base
from shared.slot.limits import die_with_parent, no_core_dumps

if TYPE_CHECKING:
    from shared.runtime.settings import RuntimeSettings

ANSWER_S = 5.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Broker:
    """The address of the broker, without the other settings."""

    bootstrap_servers: str
    kafka_properties_file: Path | None


def _admin(settings: BrokerAddress) -> AdminClient:
    return AdminClient(base(settings, "admin") | UNLOGGED)


def _reached(settings: BrokerAddress, timeout_s: float) -> tuple[AdminClient, Any]:
    """A client, and the metadata that the broker answered: see `broker_login.list_topics`."""
    from shared.runtime.broker_login import LoginErrors, list_topics

    errors = LoginErrors()
    admin = AdminClient(base(settings, "admin") | UNLOGGED | errors.config)
    return admin, list_topics(admin, errors, timeout_s)


def answers(settings: BrokerAddress, timeout_s: float) -> bool:
    """True once the broker has answered a metadata request and named a live node. Raises KafkaException after
    ``timeout_s`` seconds, and with the broker's own reason where it refuses the credentials: see `broker_login`."""
    _reached(settings, timeout_s)
    return True


def diff(settings: "RuntimeSettings") -> list[dict[str, str]]:
    """The differences between required and actual topics: see `topic_admin.diff`."""
    from shared.runtime import topic_admin

    return [dataclasses.asdict(change) for change in topic_admin.diff(settings)]


def apply(settings: "RuntimeSettings", tenants: Sequence[str] = ()) -> list[dict[str, str]]:
    """Create, grow and configure the topics, also those of ``tenants``; returns the changes: see
    `topic_admin.apply`."""
    from shared.runtime import topic_admin

    return [dataclasses.asdict(change) for change in topic_admin.apply(settings, tenants)]


def tenants(settings: "RuntimeSettings") -> list[str]:
    """The tenants with topics of their own: see `topic_admin.tenants_on`."""
    from shared.runtime import topic_admin

    return topic_admin.tenants_on(settings, _admin(settings).list_topics(timeout=ANSWER_S).topics)


def configs(settings: "RuntimeSettings", names: list[str], keys: list[str]) -> dict[str, dict[str, str]]:
    """The configuration of topics: see `topic_admin.configs`."""
    from shared.runtime import topic_admin

    return topic_admin.configs(settings, names, keys)


def make_topics(settings: "RuntimeSettings", timeout_s: float) -> None:
    """Apply the topics, then wait up to ``timeout_s`` seconds until every partition's leader answers: a new or
    restarted broker names leaders before they serve."""
    from shared.runtime import topic_admin

    until = time.monotonic() + timeout_s
    topic_admin.apply(settings)
    end = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    required = topic_admin.required_topics(settings)
    offsets = {TopicPartition(topic.name, n): end for topic in required for n in range(topic.partitions)}
    admin = _admin(settings)
    while True:
        futures = answered(admin.list_offsets(offsets, request_timeout=LATE_ANSWER_S))
        try:
            for future in futures.values():
                future.result()
            return
        except KafkaException:
            if time.monotonic() > until:
                raise
            time.sleep(POLL_S)


def lags(settings: BrokerAddress, groups: dict[str, str], timeout_s: float) -> dict[str, int]:
    """Number of uncommitted records of each consumer group; ``groups`` maps each group to its topic, or to the start
    of its topics' names and ``*``.

    Empty when the broker answers metadata but no offsets within ``timeout_s`` seconds: a new broker needs time to
    create a coordinator for the first group. Raises KafkaException when it does not answer at all.
    """
    until = time.monotonic() + timeout_s
    admin = _admin(settings)
    admin.list_topics(timeout=timeout_s)
    while True:
        try:
            return {group: _lag(admin, group, topic) for group, topic in groups.items()}
        except (KafkaException, TimeoutError):
            if time.monotonic() > until:
                return {}
            time.sleep(POLL_S)


def _lag(admin: AdminClient, group: str, topic: str) -> int:
    partitions = _partitions(admin, topic)
    if not partitions:
        return 0
    groups = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group, partitions)], request_timeout=ANSWER_S
    )
    # Read committed, as consumers do: records of an open transaction can't be read yet.
    ends = admin.list_offsets(
        {p: OffsetSpec.latest() for p in partitions},  # type: ignore[no-untyped-call]
        isolation_level=IsolationLevel.READ_COMMITTED,
        request_timeout=ANSWER_S,
    )
    starts = admin.list_offsets(
        {p: OffsetSpec.earliest() for p in partitions},  # type: ignore[no-untyped-call]
        request_timeout=ANSWER_S,
    )
    answered(groups)
    answered(ends)
    answered(starts)
    committed = {(p.topic, p.partition): p.offset for p in groups[group].result().topic_partitions}
    first = {(p.topic, p.partition): future.result().offset for p, future in starts.items()}
    lag = 0
    for partition, future in ends.items():
        key = partition.topic, partition.partition
        # Expired records do not count.
        position = max(committed.get(key, -1), first[key])
        lag += max(0, future.result().offset - position)
    return lag


def _partitions(admin: AdminClient, topic: str) -> list[TopicPartition]:
    if topic.endswith("*"):
        every = admin.list_topics(timeout=ANSWER_S).topics
        found = {name: one for name, one in every.items() if name.startswith(topic[:-1])}
    else:
        found = {topic: admin.list_topics(topic, timeout=ANSWER_S).topics[topic]}
    return [TopicPartition(name, number) for name, one in found.items() for number in one.partitions]


def members(settings: BrokerAddress, groups: list[str], timeout_s: float) -> dict[str, int]:
    """Number of members of each consumer group that the broker describes; 0 for a group that does not exist.

    A group that this client may not describe is left out. Raises KafkaException when the broker does not answer within
    ``timeout_s`` seconds; a new broker needs time to create a coordinator for the first group.
    """
    until = time.monotonic() + timeout_s
    admin = _admin(settings)
    while True:
        futures = answered(admin.describe_consumer_groups(groups, request_timeout=timeout_s))
        try:
            counts = {group: _members(future) for group, future in futures.items()}
            return {group: count for group, count in counts.items() if count is not None}
        except KafkaException:
            if time.monotonic() > until:
                raise
            time.sleep(POLL_S)


def _members(description: Future[Any]) -> int | None:
    try:
        return len(description.result().members)
    except KafkaException as e:
        if e.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return 0
        if e.args[0].code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return None
        raise


def forget_group(settings: BrokerAddress, group: str) -> bool:
    """Delete the committed offsets of a consumer group without members, so that it reads its topics from their
    beginning; whether there were any. Raises KafkaException, also for a group with members."""
    admin = _admin(settings)  # It must live until its answer has come.
    future = admin.delete_consumer_groups([group], request_timeout=METADATA_TIMEOUT_S)[group]
    try:
        future.result()
    except KafkaException as e:
        if e.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return False
        raise
    return True


def grant(settings: BrokerAddress, passwords: dict[str, str], acls: list[dict[str, str]]) -> None:
    """Store passwords and ACLs in the broker: see `grants.grant`."""
    from shared.runtime import grants

    grants.grant(_admin(settings), passwords, acls)


def protocol(settings: "RuntimeSettings") -> str:
    """The group protocol that services use with this broker."""
    from shared.runtime.group_protocol import group_protocol

    return group_protocol(settings)


def version(settings: BrokerAddress) -> str | None:
    """The version in the broker's configuration, which only brokers before 4.0 have; empty for later ones, None when
    this client may not read the configuration."""
    admin, metadata = _reached(settings, METADATA_TIMEOUT_S)
    node = next(iter(metadata.brokers))
    resource = ConfigResource(ConfigResource.Type.BROKER, str(node))
    try:
        entries = admin.describe_configs([resource])[resource].result(timeout=METADATA_TIMEOUT_S)
    except KafkaException:
        return None
    old = entries.get("inter.broker.protocol.version")
    return str(old.value) if old is not None and old.value else ""


BROKER_ONLY: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (answers, lags, members, forget_group, version, grant)
}
REQUESTS: dict[str, Callable[..., Any]] = BROKER_ONLY | {
    f.__name__: f for f in (diff, apply, configs, make_topics, protocol, tenants)
}


def _settings(name: str, values: dict[str, Any]) -> BrokerAddress:
    """The settings that the request needs."""
    if name in BROKER_ONLY:
        file = values["kafka_properties_file"]
        return Broker(values["bootstrap_servers"], Path(file) if file is not None else None)
    from shared.runtime.settings import RuntimeSettings

    return RuntimeSettings(**values)


def main() -> None:
    """Answer one request with ``{"value": ...}``, or with ``{"error": [code, text]}`` for an error of the broker."""
    request = json.load(sys.stdin)
    no_core_dumps()
    die_with_parent(request["parent"])
    try:
        settings = _settings(request["name"], request["settings"])
        answer = {"value": REQUESTS[request["name"]](settings, **request["arguments"])}
    except KafkaException as e:
        answer = {"error": [e.args[0].code(), e.args[0].str()]}
    except TimeoutError:
        answer = {"error": [None, "no answer in time"]}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    # Skip the shutdown of the clients, which may wait for an unreachable broker, or abort.
    os._exit(0)


if __name__ == "__main__":
    main()
