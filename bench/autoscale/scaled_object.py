"""A KEDA ScaledObject: KEDA decides between zero and some, the HPA that it makes decides how many.

Rules: `pkg/scaling/executor/scale_scaledobjects.go` of kedacore/keda.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.autoscale.hpa import HorizontalAutoscaler, Limits
from bench.autoscale.keda import KafkaScaler, Offsets, Reading, Trigger

POLLING_S = 15.0
"""``pollingInterval`` of the chart, seconds; KEDA's default is 30."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """The parts of a ScaledObject that decide."""

    trigger: Trigger
    limits: Limits
    """``min_replicas`` is that of the HPA: ``max(1, minReplicaCount)``."""
    to_zero: bool = False
    """``minReplicaCount: 0``."""
    cooldown_s: float = 300.0
    """``cooldownPeriod``, seconds since the last poll with an active trigger; only for the step to zero."""


@dataclass
class ScaledObject:
    """Decides the replicas of one workload, poll after poll."""

    scaling: Scaling
    _hpa: HorizontalAutoscaler = field(init=False)
    _scaler: KafkaScaler = field(init=False)
    _active_at: float | None = None

    def __post_init__(self) -> None:
        self._hpa = HorizontalAutoscaler(self.scaling.limits)
        self._scaler = KafkaScaler(self.scaling.trigger)

    def step(self, now: float, replicas: int, partitions: Mapping[int, Offsets]) -> tuple[int, Reading]:
        """The new number of replicas and what it follows from; ``now`` is in seconds.

        One poll of KEDA and one period of the HPA, which are the same length here: `POLLING_S`.
        """
        scaling, reading = self.scaling, self._scaler.poll(partitions)
        if reading.active:
            self._active_at = now
            if replicas == 0:
                # Not limited by the HPA's behaviour, and never more than the minimum: the HPA does the rest.
                return scaling.limits.min_replicas, reading
        elif replicas and scaling.to_zero and (self._active_at is None or now > self._active_at + scaling.cooldown_s):
            # From any number of replicas, past every policy and window. Without an active poll on record (the workload
            # was scaled by hand) at once.
            return 0, reading
        elif not replicas and not scaling.to_zero:
            return scaling.limits.min_replicas, reading
        return self._hpa.sync(now, replicas, reading.metric, scaling.trigger.lag_threshold), reading


def lag_threshold(target_wait_s: float, slots: int, task_s: float) -> int:
    """The lag that a replica works off within the target: ``max(1, floor(target_wait_s * slots / task_s))``.

    ``task_s`` is the mean time of one task in one slot, seconds, greater than 0.
    """
    return max(1, int(target_wait_s * slots / task_s))
