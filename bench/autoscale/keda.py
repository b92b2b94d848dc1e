"""KEDA's Kafka scaler as arithmetic: from the offsets of a topic and its group to the metric that the HPA gets.

The rules are those of KEDA 2.20 and of its main branch in August 2026 (kedacore/keda, `pkg/scalers/kafka_scaler.go`);
each function names the one that it follows. Names of settings are those of the trigger's metadata.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

INVALID_OFFSET = -1
"""What a broker answers for a partition without a committed offset."""


class InvalidTrigger(ValueError):
    """Settings that KEDA refuses."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """The metadata of a Kafka trigger, with KEDA's defaults. Raises InvalidTrigger where KEDA refuses the object."""

    lag_threshold: int = 10
    """Lag for each replica, records; at least 1."""
    activation_lag_threshold: int = 0
    """The lag must be greater for the first replica, records; at least 0."""
    offset_reset_policy: Literal["latest", "earliest"] = "latest"
    allow_idle_consumers: bool = False
    exclude_persistent_lag: bool = False
    scale_to_zero_on_invalid_offset: bool = False
    limit_to_partitions_with_lag: bool = False
    ensure_even_distribution_of_partitions: bool = False

    def __post_init__(self) -> None:
        # Rule: kafkaMetadata.Validate.
        if self.lag_threshold < 1:
            raise InvalidTrigger("lagThreshold must be positive")
        if self.activation_lag_threshold < 0:
            raise InvalidTrigger("activationLagThreshold must not be negative")
        if self.limit_to_partitions_with_lag and self.allow_idle_consumers:
            raise InvalidTrigger("allowIdleConsumers and limitToPartitionsWithLag exclude each other")
        if self.limit_to_partitions_with_lag and self.ensure_even_distribution_of_partitions:
            raise InvalidTrigger("ensureEvenDistributionOfPartitions and limitToPartitionsWithLag exclude each other")


@dataclass(frozen=True, slots=True)
class Offsets:
    """The offsets of one partition."""

    end: int | None
    """Offset of the next record; None when the broker's answer lacks the partition."""
    committed: int = INVALID_OFFSET
    """The group's committed offset."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one poll gives."""

    metric: int
    """The value that the HPA gets, records. Negative when committed offsets lie beyond the end of the log."""
    active: bool
    """Whether KEDA keeps the workload above zero."""
    lags: Mapping[int, int]
    """Lag of each partition before the limits."""


class KafkaScaler:
    """Evaluates a trigger, poll after poll: ``excludePersistentLag`` compares with the poll before."""

    def __init__(self, trigger: Trigger) -> None:
        self._trigger = trigger
        self._previous: dict[int, int] = {}

    def poll(self, partitions: Mapping[int, Offsets]) -> Reading:
        """Rule: getTotalLag and GetMetricsAndActivity. ``partitions`` are all of the topic, a new one included."""
        pairs = {number: self._lag(number, offsets) for number, offsets in partitions.items()}
        lags = {number: lag for number, (lag, _) in pairs.items()}
        with_persistent = sum(lag for _, lag in pairs.values())
        metric = self._limited(sum(lags.values()), len(lags), sum(lag > 0 for lag in lags.values()))
        return Reading(metric, with_persistent > self._trigger.activation_lag_threshold, lags)

    def _lag(self, number: int, offsets: Offsets) -> tuple[int, int]:
        """Rule: getLagForPartition. The lag for the HPA, and the one that decides between zero and one replica."""
        trigger = self._trigger
        if offsets.committed == INVALID_OFFSET:
            if trigger.scale_to_zero_on_invalid_offset:
                return 0, 0
            if trigger.offset_reset_policy == "latest":
                return 1, 1
            # The whole log, expired records included: the start of the log is not asked for.
            return offsets.end or 0, offsets.end or 0
        if offsets.end is None:
            return 0, 0
        lag = offsets.end - offsets.committed
        if trigger.exclude_persistent_lag:
            before, self._previous[number] = self._previous.get(number), offsets.committed
            if before == offsets.committed:
                return 0, lag
        return lag, lag

    def _limited(self, lag: int, partitions: int, with_lag: int) -> int:
        """The total lag, cut where it would ask for more replicas than there are partitions to give them."""
        trigger = self._trigger
        even = trigger.ensure_even_distribution_of_partitions
        if trigger.allow_idle_consumers and not even:
            return lag
        threshold = trigger.lag_threshold
        if even:
            lag = even_replicas(lag, partitions, threshold) * threshold
        bound = with_lag if trigger.limit_to_partitions_with_lag else partitions
        # Go's division, which rounds towards zero, as `//` does for these: the result matters only above the bound.
        # A rest stays: lag 3 in one partition with threshold 2 asks for 2 replicas.
        return bound * threshold if lag // threshold > bound else lag


def even_replicas(lag: int, partitions: int, threshold: int) -> int:
    """The smallest divisor of ``partitions`` that serves the lag, at most ``partitions``.

    Rule: getNextFactorThatBalancesConsumersToTopicPartitions. It is 1 for no lag.
    """
    divisors = (n for n in range(1, partitions + 1) if partitions % n == 0)
    return next((n for n in divisors if n * threshold >= lag), partitions)
