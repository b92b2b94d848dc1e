"""The process that reads consumer groups for `group_views`: one request a line on stdin, one answer a line on stdout.

It imports the Kafka client and nothing else of weight, because every service that sends tasks has one.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from shared.runtime.admin_answers import answered
from shared.slot.limits import die_with_parent, no_core_dumps

REQUEST_S = 4.0
"""Limit of each request to the broker, seconds."""
METADATA_REFRESH_S = 10.0
"""How often the number of partitions is read again, seconds: a topic may grow."""


class GroupReader:
    """Reads owners and lags of the groups."""

    def __init__(self, config: Mapping[str, Any], groups: Mapping[str, str]) -> None:
        """``groups`` maps each topic to its group."""
        self._admin = AdminClient(dict(config))
        self._groups = groups
        self._counts: dict[str, int] = {}
        self._counts_at = -METADATA_REFRESH_S

    def read(self) -> dict[str, dict[str, Any]]:
        """``views`` of the topics that can be read, ``errors`` of the others. Raises KafkaException when the broker
        does not answer at all."""
        self._count()
        views, errors = {}, {}
        descriptions = self._describe()
        for topic, group in self._groups.items():
            try:
                owners = self._owners(descriptions[group], topic)
                views[topic] = {"owners": owners, "lags": self._lags(topic, group) if owners else {}}
            except KafkaException as e:
                errors[topic] = _reason(e)
        return {"views": views, "errors": errors}

    def _count(self) -> None:
        if time.monotonic() - self._counts_at < METADATA_REFRESH_S:
            return
        topics = self._admin.list_topics(timeout=REQUEST_S).topics
        self._counts = {name: len(topics[name].partitions) for name in self._groups if name in topics}
        self._counts_at = time.monotonic()

    def _describe(self) -> Mapping[str, Any]:
        groups = list(dict.fromkeys(self._groups.values()))
        return answered(self._admin.describe_consumer_groups(groups, request_timeout=REQUEST_S))

    @staticmethod
    def _owners(description: Any, topic: str) -> dict[str, list[int]]:
        """Member -> its partitions of the topic; empty for a group that does not exist."""
        try:
            members = description.result().members
        except KafkaException as e:
            if e.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return {}
            raise
        assigned = {m.member_id: m.assignment.topic_partitions if m.assignment else [] for m in members}
        return {member: [p.partition for p in owned if p.topic == topic] for member, owned in assigned.items() if owned}

    def _lags(self, topic: str, group: str) -> dict[int, int]:
        partitions = [TopicPartition(topic, number) for number in range(self._counts.get(topic, 0))]
        if not partitions:
            return {}
        # Commits first, ends last: a record that is finished in between counts once too often, never too seldom.
        request = [ConsumerGroupTopicPartitions(group, partitions)]
        future = self._admin.list_consumer_group_offsets(request, request_timeout=REQUEST_S)[group]
        committed = {p.partition: p.offset for p in future.result().topic_partitions}
        unread = [p for p in partitions if committed.get(p.partition, -1) < 0]
        starts = self._offsets(unread, OffsetSpec.earliest()) if unread else {}  # type: ignore[no-untyped-call]
        ends = self._offsets(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return {
            number: max(0, end - (starts[number] if number in starts else committed[number]))
            for number, end in ends.items()
        }

    def _offsets(self, partitions: list[TopicPartition], which: OffsetSpec) -> dict[int, int]:
        futures = answered(
            self._admin.list_offsets(
                dict.fromkeys(partitions, which),
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=REQUEST_S,
            )
        )
        return {partition.partition: future.result().offset for partition, future in futures.items()}


def _reason(exception: KafkaException) -> str:
    """With the name of the error: the text of some is empty, as that of a coordinator that is not available yet."""
    error = exception.args[0]
    return f"{error.name()}: {error.str()}"


def main() -> None:
    """Answer every line with a view, until stdin ends."""
    request = json.loads(sys.stdin.readline())
    no_core_dumps()
    die_with_parent(request["parent"])
    reader = GroupReader(request["config"], request["groups"])
    for _ in sys.stdin:
        try:
            answer = reader.read()
        except KafkaException as e:
            answer = {"views": {}, "errors": {"broker": _reason(e)}}
        except TimeoutError:
            answer = {"views": {}, "errors": {"broker": "no answer in time"}}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    # Skip the shutdown of the client, which may wait for an unreachable broker, or abort.
    os._exit(0)


if __name__ == "__main__":
    main()
