"""Follows every partition of ``render.events``, including new ones, through restarts of the broker."""

import json
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Message, TopicPartition

from shared.client import event_log
from shared.client.connection import Connection
from shared.runtime.consume.statistics import FetchStallDetector

STATISTICS_MS = 1000
"""How often the Kafka client refreshes the topic's metadata and reports its statistics."""
STALL_S = 15.0
"""librdkafka can stop fetching a partition when a broker comes back; only a new client fetches it again."""


class EventReader:
    """A reader for one thread. It learns of new and stalled partitions from the client's statistics: nothing blocks."""

    def __init__(self, connection: Connection, start: Mapping[int, int], tenant: str | None = None) -> None:
        """``start`` is a position in the topic of the tenant's events; None: in the shared one."""
        self._connection = connection
        self._topic = event_log.topic(connection, tenant)
        self._next = dict(start)
        self._new: set[int] = set()
        self._stalled = False
        self._open()

    def poll(self, seconds: float) -> Message | None:
        """The next record; None when none arrives within the time."""
        if self._stalled:
            self.close()
            self._open()
        elif self._new:
            # Records may have been written to a partition before it was noticed here.
            self._next |= dict.fromkeys(self._new, 0)
            self._new.clear()
            self._assign()
        message: Message | None = self._consumer.poll(seconds)
        if message is None or message.error() is not None:
            return None
        partition, offset = message.partition(), message.offset()
        if partition is not None and offset is not None:  # A record that was received always has both.
            self._next[partition] = offset + 1
        return message

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()

    def _open(self) -> None:
        intervals = {"topic.metadata.refresh.interval.ms": STATISTICS_MS, "statistics.interval.ms": STATISTICS_MS}
        self._consumer: Any = self._connection.consumer({**intervals, "stats_cb": self._on_statistics})
        self._stalls, self._stalled = FetchStallDetector(STALL_S), False
        self._assign()

    def _assign(self) -> None:
        self._consumer.assign([TopicPartition(self._topic, p, offset) for p, offset in self._next.items()])

    def _on_statistics(self, statistics: str) -> None:
        partitions = json.loads(statistics)["topics"].get(self._topic, {}).get("partitions", {})
        # -1 is librdkafka's own, for records without a partition yet.
        self._new = {int(number) for number in partitions if int(number) >= 0} - self._next.keys()
        states = {(self._topic, number): p["fetch_state"] for number, p in partitions.items() if p["desired"]}
        self._stalled = self._stalls.stalled(states) is not None
