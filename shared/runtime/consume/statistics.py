"""librdkafka's statistics, as far as they are read, and the fetch stalls that they show."""

import time
from collections.abc import Callable, Mapping

import structlog
from pydantic import BaseModel, Field, ValidationError

log = structlog.get_logger()

Partition = tuple[str, str]
FETCHING = {"active", "none"}
"""Fetch states in librdkafka's statistics that are not a wait for something; a paused partition is active, too."""
STALLED_AFTER_S = 60.0


class PartitionStatistics(BaseModel):
    """One partition of a client."""

    consumer_lag: int = -1
    """Records behind the end of the partition that are not committed; negative when unknown."""
    fetch_state: str = "none"
    desired: bool = False
    """Whether it is assigned to this client."""


class _Topic(BaseModel):
    partitions: dict[str, PartitionStatistics] = Field(default_factory=dict)


class _Group(BaseModel):
    join_state: str = ""


class Statistics(BaseModel):
    """One report of a client."""

    topics: dict[str, _Topic] = Field(default_factory=dict)
    cgrp: _Group = _Group()

    @property
    def partitions(self) -> dict[Partition, PartitionStatistics]:
        """By topic and number; librdkafka's internal partition -1 is none."""
        return {
            (name, number): partition
            for name, topic in self.topics.items()
            for number, partition in topic.partitions.items()
            if not number.startswith("-")
        }

    @property
    def fetch_states(self) -> dict[Partition, str]:
        """Of the assigned partitions."""
        return {at: partition.fetch_state for at, partition in self.partitions.items() if partition.desired}

    @classmethod
    def read(cls, text: str) -> "Statistics":
        """Never raises: statistics come in a callback of the client, whose exceptions would end the loop that polls."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as e:
            log.warning("statistics_unreadable", problems=e.error_count())
            return cls()


class FetchStallDetector:
    """Detects a partition that the client has stopped fetching: librdkafka can lose one for good when a broker returns.

    Fed with the fetch states of the client's statistics. Thread: the one that polls.
    """

    def __init__(self, stalled_after_s: float = STALLED_AFTER_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._stalled_after_s = stalled_after_s
        self._clock = clock
        self._since: dict[Partition, float] = {}

    def stuck(self, states: Mapping[Partition, str]) -> str | None:
        """Why, when an assigned partition was not fetched for that long; ``states`` are of all assigned ones.

        Only a new client repairs that: the service should end and be started again.
        """
        now = self._clock()
        self._since = {at: self._since.get(at, now) for at, state in states.items() if state not in FETCHING}
        for (topic, number), since in self._since.items():
            if now - since > self._stalled_after_s:
                return f"{topic} partition {number} has been in state {states[topic, number]} for {now - since:.0f} s"
        return None
