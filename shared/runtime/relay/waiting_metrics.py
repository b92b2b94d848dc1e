"""How many records wait on the retry topics, and how long the oldest is overdue, as metrics by tier."""

import time
from collections.abc import Collection, Mapping
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from shared.runtime.broker_clock import BrokerClock
from shared.runtime.relay.retry_partition import RetryPartition
from shared.telemetry import metrics

EVERY_S = 1.0


class WaitingMetrics:
    """Sets the gauges of the tiers whose partitions this replica owns: the sum over replicas is the whole. Used by one
    thread."""

    def __init__(self, clock: BrokerClock) -> None:
        self._clock = clock
        self._update_at = 0.0
        self._tiers: set[str] = set()

    def update_if_due(self, consumer: Any, partitions: Collection[RetryPartition]) -> None:
        """Set the gauges, at most every ``EVERY_S`` seconds; asks the client, and not the broker."""
        if (now := time.monotonic()) < self._update_at:
            return
        self._update_at = now + EVERY_S
        waiting: dict[str, int] = {}
        due: dict[str, int] = {}
        for one in partitions:
            tier = one.tier.name
            waiting[tier] = waiting.get(tier, 0) + _waiting(consumer, one)
            if one.oldest is not None and one.oldest.due_ms is not None:
                due[tier] = min(due.get(tier, one.oldest.due_ms), one.oldest.due_ms)
        self._tiers |= waiting.keys()
        for tier in self._tiers:
            metrics.RETRIES_WAITING.labels(tier).set(waiting.get(tier, 0))
        self._set_overdue(due)

    def _set_overdue(self, due: Mapping[str, int]) -> None:
        now_ms = self._clock.now_ms()
        for tier in self._tiers:
            if tier in due and now_ms is not None:
                metrics.RETRY_OLDEST_OVERDUE.labels(tier).set((now_ms - due[tier]) / 1000)
            else:
                metrics.RETRY_OLDEST_OVERDUE.labels(tier)  # `remove` of an unknown label raises KeyError.
                metrics.RETRY_OLDEST_OVERDUE.remove(tier)


def _waiting(consumer: Any, partition: RetryPartition) -> int:
    """Records of the partition that are not settled, by the end that the client saw last."""
    if partition.settled_to < 0:
        return 0  # Nothing was delivered yet.
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(partition.topic, partition.partition), cached=True)
    except KafkaException:
        return 0
    return max(0, int(end) - partition.settled_to)
