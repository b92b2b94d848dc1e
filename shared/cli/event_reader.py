"""Follows every partition of ``render.events``, those that it grows by included, through restarts of the broker."""

import json
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Message, TopicPartition

from shared.cli.connection import Connection
from shared.messages.topics import EVENTS
from shared.runtime.consume.statistics import FetchStallDetector

LOOK_MS = 1000
"""How often the client asks how large the topic is, and tells its state."""
STUCK_S = 15.0
"""librdkafka can lose a partition when a broker comes back; only a new client mends that."""


class EventReader:
    """One thread's reader. What it knows of the topic comes from the client's own statistics: nothing blocks."""

    def __init__(self, connection: Connection, start: Mapping[int, int]) -> None:
        self._connection = connection
        self._topic = connection.settings.topic(EVENTS)
        self._next = dict(start)
        self._new: set[int] = set()
        self._stuck = False
        self._open()

    def poll(self, seconds: float) -> Message | None:
        """The next record, or None when none came for so long."""
        if self._stuck:
            self.close()
            self._open()
        elif self._new:
            # What lies in a partition from before anybody knew of it has not been read.
            self._next |= dict.fromkeys(self._new, 0)
            self._new.clear()
            self._assign()
        message: Message | None = self._consumer.poll(seconds)
        if message is None or message.error() is not None:
            return None
        partition, offset = message.partition(), message.offset()
        if partition is not None and offset is not None:  # Never of a record that came.
            self._next[partition] = offset + 1
        return message

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()

    def _open(self) -> None:
        more = {"topic.metadata.refresh.interval.ms": LOOK_MS, "statistics.interval.ms": LOOK_MS}
        self._consumer: Any = self._connection.consumer({**more, "stats_cb": self._look})
        self._fetching, self._stuck = FetchStallDetector(STUCK_S), False
        self._assign()

    def _assign(self) -> None:
        self._consumer.assign([TopicPartition(self._topic, p, offset) for p, offset in self._next.items()])

    def _look(self, statistics: str) -> None:
        of = json.loads(statistics)["topics"].get(self._topic, {}).get("partitions", {})
        # -1 is librdkafka's own, for records without a partition yet.
        self._new = {int(number) for number in of if int(number) >= 0} - self._next.keys()
        states = {(self._topic, number): part["fetch_state"] for number, part in of.items() if part["desired"]}
        self._stuck = self._fetching.stuck(states) is not None
