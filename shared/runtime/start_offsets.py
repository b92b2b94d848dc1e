"""Start offsets: the earliest offset, committed for each partition of which a group has committed nothing.

An autoscaler that reads the lag of a group (KEDA) has nothing to subtract where no offset is committed: it then counts
one record, or every record that the partition ever had, and starts replicas for a queue that is empty. A service
commits the start of its partitions when it gets them; a stage that is scaled to zero has never got any.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from shared.messages.pipeline import FIRST, PIPELINE, RELAY
from shared.messages.tenant_topics import requests_of
from shared.messages.topics import retry_topic
from shared.runtime.admin_answers import LATE_ANSWER_S, answered
from shared.runtime.kafka_config import UNLOGGED, base
from shared.runtime.settings import RuntimeSettings

COORDINATOR_S = 5.0
RETRY_TIMEOUT_S = 30.0
"""How long a new broker may take to create a coordinator, or a new topic to get leaders, seconds."""
RETRY_S = 0.2
TRANSIENT = {
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    # The broker is still applying what the controller has decided.
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    # The client itself knows no leader yet.
    KafkaError._NOENT,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}
HAS_MEMBERS = {
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.NON_EMPTY_GROUP,
}
"""How a broker refuses the commit of a client that is no member of a group with members."""
NO_RIGHTS = {KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED}
"""A commit needs READ on the group and on the topic; reading offsets needs DESCRIBE on both."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Missing:
    """Partitions of one topic of which a group without members has committed nothing."""

    group: str
    topic: str
    partitions: tuple[int, ...]
    refusal: str = ""
    """The broker's error code where this client may not read or commit the offsets of the group, or of its topic;
    ``partitions`` is then empty."""


def groups(settings: RuntimeSettings, existing: Iterable[str] = ()) -> list[tuple[str, tuple[str, ...]]]:
    """Every consumer group that commits offsets, with its topics: one a stage and engine, and the relay's. ``existing``
    are full names of topics, among which are those of tenants that have their own."""
    found: list[tuple[str, tuple[str, ...]]] = []
    prefix = settings.topic_prefix
    of_tenants = [
        name for name in existing if name.startswith(prefix) and requests_of(name.removeprefix(prefix)) is not None
    ]
    for step in PIPELINE:
        for engine in settings.engines if step.per_engine else (None,):
            topics = tuple(map(settings.topic, step.topics(engine)))
            if step.name == FIRST:
                topics = (*topics, *of_tenants)
            found.append((settings.group(step.name, engine), topics))
    retries = tuple(settings.topic(retry_topic(tier)) for tier in settings.tiers)
    return [*found, (settings.group(RELAY), retries)]


class StartOffsets:
    """Finds and commits the start offsets of one deployment's groups. Use it in one thread."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._admin = self._connect()

    def _connect(self) -> AdminClient:
        return AdminClient(base(self._settings, "admin") | UNLOGGED)

    def missing(self, partitions: Mapping[str, int]) -> list[Missing]:
        """What ``commit`` would commit. ``partitions`` are the numbers of partitions of the topics that exist.

        A group with members is left out: they commit the start of every partition that they get. Raises KafkaException,
        TimeoutError.
        """
        found: list[Missing] = []
        places = [(group, topic) for group, topics in groups(self._settings, partitions) for topic in topics]
        existing = [place for place in places if partitions.get(place[1], 0)]
        if existing:
            _await_coordinator(self._settings, *existing[0])
        for group, topic in places:
            # Topic by topic: a refusal of one must not hide the others of its group.
            wanted = [TopicPartition(topic, n) for n in range(partitions.get(topic, 0))]
            try:
                uncommitted = self._uncommitted(group, wanted) if wanted else []
                if uncommitted and not self._has_members(group):
                    found.append(Missing(group, topic, tuple(sorted(p.partition for p in uncommitted))))
            except KafkaException as error:
                if error.args[0].code() not in NO_RIGHTS:
                    raise
                found.append(Missing(group, topic, (), error.args[0].name()))
        return found

    def commit(self, one: Missing) -> Missing | None:
        """Commit the earliest offset of these partitions; returns what was committed, None where a member has joined.

        A group that got its first commit since ``missing`` has read the offsets, and has no member any more, goes back
        to the earliest record: at worst records are delivered again, and none is skipped. Raises KafkaException,
        TimeoutError.
        """
        if one.refusal:
            return one
        places = [TopicPartition(one.topic, n) for n in one.partitions]
        try:
            earliest = self._retried(lambda admin: _earliest(admin, places))
            self._retried(lambda admin: _alter(admin, one.group, earliest))
        except KafkaException as error:
            if error.args[0].code() in HAS_MEMBERS:
                return None
            if error.args[0].code() in NO_RIGHTS:
                return Missing(one.group, one.topic, (), error.args[0].name())
            raise
        return one

    def _uncommitted(self, group: str, wanted: list[TopicPartition]) -> list[TopicPartition]:
        return self._retried(lambda admin: _uncommitted(admin, group, wanted))

    def _has_members(self, group: str) -> bool:
        return self._retried(lambda admin: _members(admin, group)) > 0

    def _retried(self, request: Callable[[AdminClient], T]) -> T:
        """The answer of the request, which is repeated while the broker gets ready.

        Each time with a new client: one that has learnt of a new topic before its leaders were elected asks for them
        again after 30 s only (``topic.metadata.propagation.max.ms``).
        """
        until = time.monotonic() + RETRY_TIMEOUT_S
        while True:
            try:
                return request(self._admin)
            except KafkaException as error:
                if error.args[0].code() not in TRANSIENT or time.monotonic() > until:
                    raise
            except TimeoutError:
                if time.monotonic() > until:
                    raise
            time.sleep(RETRY_S)
            self._admin = self._connect()


def _await_coordinator(settings: RuntimeSettings, group: str, topic: str) -> None:
    """Wait until the broker has a coordinator for the group.

    A new one makes its topic of offsets for the first request. The admin client then waits to the end of its time
    limit, a consumer asks again after a second.
    """
    consumer = Consumer(base(settings, "admin") | UNLOGGED | {"group.id": group, "enable.auto.commit": False})
    with suppress(KafkaException):  # The requests that follow say what is wrong.
        consumer.committed([TopicPartition(topic, 0)], timeout=COORDINATOR_S)
    consumer.close()


def _uncommitted(admin: AdminClient, group: str, wanted: list[TopicPartition]) -> list[TopicPartition]:
    request = [ConsumerGroupTopicPartitions(group, wanted)]
    answer = _result(admin.list_consumer_group_offsets(request, request_timeout=LATE_ANSWER_S)[group])
    return [one for one in _checked(answer.topic_partitions) if one.offset < 0]


def _members(admin: AdminClient, group: str) -> int:
    try:
        answer = _result(admin.describe_consumer_groups([group], request_timeout=LATE_ANSWER_S)[group])
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return 0
        raise
    return len(answer.members)


def _earliest(admin: AdminClient, places: list[TopicPartition]) -> list[TopicPartition]:
    spec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
    futures = answered(admin.list_offsets(dict.fromkeys(places, spec), request_timeout=LATE_ANSWER_S))
    return [TopicPartition(p.topic, p.partition, future.result().offset) for p, future in futures.items()]


def _alter(admin: AdminClient, group: str, offsets: list[TopicPartition]) -> None:
    request = [ConsumerGroupTopicPartitions(group, offsets)]
    answer = _result(admin.alter_consumer_group_offsets(request, request_timeout=LATE_ANSWER_S)[group])
    _checked(answer.topic_partitions)


def _result(future: "Future[Any]") -> Any:
    return future.result(timeout=2 * LATE_ANSWER_S)


def _checked(partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
    every = list(partitions)
    for one in every:
        if one.error is not None:
            raise KafkaException(one.error)
    return every
