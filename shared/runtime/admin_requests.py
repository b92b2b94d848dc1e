"""What is asked of a broker by the admin client, as functions from JSON to JSON; `admin_process` runs them in a worker.

``python -m shared.runtime.admin_requests`` reads one request from stdin and writes one answer to stdout.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec

from shared.messages.topics import topics
from shared.runtime import topic_admin
from shared.runtime.kafka_config import METADATA_TIMEOUT_S, base, group_protocol
from shared.runtime.settings import RuntimeSettings
from shared.slot.limits import die_with_parent, no_core_dumps

ANSWER_S = 5.0
POLL_S = 0.1


def _admin(settings: RuntimeSettings) -> AdminClient:
    return AdminClient(base(settings, "admin") | {"log_level": 0})


def answers(settings: RuntimeSettings, timeout_s: float) -> bool:
    """Whether the broker answers a metadata request in that time and names a live node."""
    return bool(_admin(settings).list_topics(timeout=timeout_s).brokers)


def diff(settings: RuntimeSettings) -> list[dict[str, str]]:
    """The differences between wanted and found topics, as `topic_admin.diff`."""
    return [dataclasses.asdict(change) for change in topic_admin.diff(settings)]


def apply(settings: RuntimeSettings) -> list[dict[str, str]]:
    """Make the topics what they should be, as `topic_admin.apply`; what was changed."""
    return [dataclasses.asdict(change) for change in topic_admin.apply(settings)]


def make_topics(settings: RuntimeSettings, timeout_s: float) -> None:
    """Make the topics; then wait for the leaders: a new or restarted broker names them before they serve."""
    until = time.monotonic() + timeout_s
    topic_admin.apply(settings)
    end = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    wanted = topics(settings.topic_prefix, settings.engines)
    asked = {TopicPartition(topic.name, n): end for topic in wanted for n in range(topic.partitions)}
    admin = _admin(settings)
    while True:
        try:
            for answer in admin.list_offsets(asked, request_timeout=ANSWER_S).values():
                answer.result()
            return
        except KafkaException:
            if time.monotonic() > until:
                raise
            time.sleep(POLL_S)


def lags(settings: RuntimeSettings, groups: dict[str, str], timeout_s: float) -> dict[str, int]:
    """Records not yet committed of each consumer group; ``groups`` names the topic that each reads.

    None are known of a broker that answers, in ``timeout_s`` as ``answers``, and does not tell by then: the first group
    that a new broker is asked for has no coordinator yet.
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
    known = admin.list_topics(topic, timeout=ANSWER_S).topics[topic]
    partitions = [TopicPartition(topic, number) for number in known.partitions]
    asked = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group, partitions)], request_timeout=ANSWER_S
    )
    # As a consumer sees it: records of a transaction that is still open can't be read yet.
    ends = admin.list_offsets(
        {p: OffsetSpec.latest() for p in partitions},  # type: ignore[no-untyped-call]
        isolation_level=IsolationLevel.READ_COMMITTED,
        request_timeout=ANSWER_S,
    )
    starts = admin.list_offsets(
        {p: OffsetSpec.earliest() for p in partitions},  # type: ignore[no-untyped-call]
        request_timeout=ANSWER_S,
    )
    for future in (*asked.values(), *ends.values(), *starts.values()):
        # Every answer is waited for: the client has crashed over one that came when nobody held its future any more.
        future.exception()
    committed = {p.partition: p.offset for p in asked[group].result().topic_partitions}
    first = {p.partition: future.result().offset for p, future in starts.items()}
    lag = 0
    for partition, future in ends.items():
        number = partition.partition
        # Records that have expired wait for nobody.
        at = max(committed.get(number, -1), first[number])
        lag += max(0, future.result().offset - at)
    return lag


def protocol(settings: RuntimeSettings) -> str:
    """The group protocol that services use on this broker."""
    return group_protocol(settings)


def version(settings: RuntimeSettings) -> str | None:
    """What the broker tells of its version: up to 3 in its configuration, then no more (""); None to this user."""
    admin = _admin(settings)
    node = next(iter(admin.list_topics(timeout=METADATA_TIMEOUT_S).brokers))
    resource = ConfigResource(ConfigResource.Type.BROKER, str(node))
    try:
        entries = admin.describe_configs([resource])[resource].result(timeout=METADATA_TIMEOUT_S)
    except KafkaException:
        return None
    old = entries.get("inter.broker.protocol.version")
    return str(old.value) if old is not None and old.value else ""


REQUESTS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (answers, diff, apply, make_topics, lags, protocol, version)
}


def main() -> None:
    """Answer one request: ``{"value": ...}``, or ``{"error": [code, text]}`` for what the broker refused."""
    request = json.load(sys.stdin)
    no_core_dumps()
    die_with_parent(request["parent"])
    settings = RuntimeSettings(**request["settings"])
    try:
        answer = {"value": REQUESTS[request["name"]](settings, **request["arguments"])}
    except KafkaException as e:
        answer = {"error": [e.args[0].code(), e.args[0].str()]}
    except TimeoutError:
        answer = {"error": [None, "no answer in time"]}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    # Without the clients' own shutdown, which may wait for a broker that has gone, or abort.
    os._exit(0)


if __name__ == "__main__":
    main()
