"""librdkafka's statistics: the fields that are used, and the fetch stalls that they show."""

import time
from collections.abc import Callable, Mapping

import structlog
from pydantic import BaseModel, Field, ValidationError

log = structlog.get_logger()

Partition = tuple[str, str]
FETCHING = {"active", "none"}
"""Fetch states of librdkafka in which a partition is not stalled; a paused partition is ``active``, too."""
STALLED_AFTER_S = 60.0


class PartitionStatistics(BaseModel):
    """Statistics of one partition of a client."""

    consumer_lag: int = -1
    """Records of the partition that the group has not committed; negative when unknown."""
    committed_offset: int = -1
    """The offset that the group has committed; negative when unknown."""
    fetch_state: str = "none"
    desired: bool = False
    """Whether it is assigned to this client."""


class _Topic(BaseModel):
    partitions: dict[str, PartitionStatistics] = Field(default_factory=dict)


class _Group(BaseModel):
    join_state: str = ""


class Statistics(BaseModel):
    """One statistics report of a client."""

    topics: dict[str, _Topic] = Field(default_factory=dict)
    cgrp: _Group = _Group()

    @property
    def partitions(self) -> dict[Partition, PartitionStatistics]:
        """Partitions by topic and number, without librdkafka's internal partition -1."""
        return {
            (name, number): partition
            for name, topic in self.topics.items()
            for number, partition in topic.partitions.items()
            if not number.startswith("-")
        }

    @property
    def fetch_states(self) -> dict[Partition, str]:
        """Fetch states of the assigned partitions."""
        return {name: partition.fetch_state for name, partition in self.partitions.items() if partition.desired}

    @classmethod
    def read(cls, text: str) -> "Statistics":
        """Parse a report; an unreadable one is empty. Never raises: an exception in the client's callback would end the
        loop that polls."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as e:
            log.warning("statistics_unreadable", problems=e.error_count())
            return cls()


class FetchStallDetector:
    """Detects a partition that the client has stopped fetching: librdkafka may never resume one after a broker restart.

    Call it with the fetch states of each statistics report, in the thread that polls.
    """

    def __init__(self, stalled_after_s: float = STALLED_AFTER_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._stalled_after_s = stalled_after_s
        self._clock = clock
        self._since: dict[Partition, float] = {}

    def stalled(self, states: Mapping[Partition, str]) -> str | None:
        """The reason, when an assigned partition has not been fetched for ``stalled_after_s`` seconds; else None.

        ``states`` are the fetch states of all assigned partitions. Only a new client repairs a stall: the service must
        end and be started again.
        """
        now = self._clock()
        self._since = {
            partition: self._since.get(partition, now) for partition, state in states.items() if state not in FETCHING
        }
        for (topic, number), since in self._since.items():
            if now - since > self._stalled_after_s:
                return f"{topic} partition {number} has been in state {states[topic, number]} for {now - since:.0f} s"
        return None
