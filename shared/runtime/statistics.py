"""librdkafka's statistics, as far as they are looked at. A report of another form counts as empty."""

import structlog
from pydantic import BaseModel, Field, ValidationError

from shared.runtime.fetching import Partition

log = structlog.get_logger()


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
