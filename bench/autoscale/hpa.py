"""The HorizontalPodAutoscaler as arithmetic, for one external metric with a target of the kind AverageValue.

The rules are those of Kubernetes (`pkg/controller/podautoscaler`: replica_calculator.go, horizontal.go) and of its page
"Horizontal Pod Autoscaling". Times are seconds of one clock of the caller's.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

TOLERANCE = 0.1
"""Relative deviation from the target that changes nothing; a flag of the controller manager, its default."""
SYNC_S = 15.0
"""Period of the controller, seconds; a flag of the controller manager, its default."""


@dataclass(frozen=True, slots=True)
class Policy:
    """At most ``value`` pods, or per cent of the pods, in ``period_s`` seconds (1 to 1800)."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_s: float

    def __post_init__(self) -> None:
        if self.value < 1 or not 1 <= self.period_s <= 1800:
            raise ValueError(f"a policy needs a positive value and a period of 1 to 1800 s: {self}")


@dataclass(frozen=True, slots=True)
class Rules:
    """``behavior.scaleUp`` or ``behavior.scaleDown``."""

    policies: tuple[Policy, ...]
    window_s: float = 0.0
    """``stabilizationWindowSeconds``, 0 to 3600."""
    select: Literal["Max", "Min", "Disabled"] = "Max"

    def __post_init__(self) -> None:
        if not 0 <= self.window_s <= 3600:
            raise ValueError("stabilizationWindowSeconds must be 0 to 3600")
        if not self.policies and self.select != "Disabled":
            raise ValueError("rules need a policy")


DEFAULT_UP = Rules((Policy("Pods", 4, 15), Policy("Percent", 100, 15)))
DEFAULT_DOWN = Rules((Policy("Percent", 100, 15),), window_s=300)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds and behaviour. KEDA makes ``min_replicas`` at least 1: zero is its own business."""

    max_replicas: int
    min_replicas: int = 1
    up: Rules = DEFAULT_UP
    down: Rules = DEFAULT_DOWN

    def __post_init__(self) -> None:
        if not 1 <= self.min_replicas <= self.max_replicas:
            raise ValueError("1 <= minReplicas <= maxReplicas")


def recommendation(metric: int, target: int, replicas: int) -> int:
    """Replicas for a metric, before limits; ``replicas``, at least 1, are the present ones.

    Rule: GetExternalPerPodMetricReplicas. Within the tolerance nothing changes; else ceil(metric / target), whatever
    the replicas do: a pod that is not ready counts as one.
    """
    if abs(1.0 - metric / (target * replicas)) <= TOLERANCE:
        return replicas
    return max(0, math.ceil(metric / target))


@dataclass
class HorizontalAutoscaler:
    """One autoscaler with its memory: earlier recommendations and changes."""

    limits: Limits
    _recommendations: list[tuple[float, int]] = field(default_factory=list)
    _changes: list[tuple[float, int]] = field(default_factory=list)
    """Time and signed number of pods of each change."""

    def sync(self, now: float, replicas: int, metric: int, target: int) -> int:
        """The new number of replicas; the caller applies it.

        Rule: reconcileAutoscaler. At zero replicas the autoscaler is disabled; bounds come before the metric.
        """
        limits = self.limits
        if not self._recommendations:
            self._recommendations.append((now, replicas))  # A new autoscaler keeps what it finds, for one window.
        if replicas == 0:
            return 0
        if not limits.min_replicas <= replicas <= limits.max_replicas:
            wanted = min(max(replicas, limits.min_replicas), limits.max_replicas)
        else:
            stable = self._stabilized(now, replicas, recommendation(metric, target, replicas))
            wanted = self._limited(now, replicas, stable)
        if wanted != replicas:
            self._changes.append((now, wanted - replicas))
        return wanted

    def _stabilized(self, now: float, replicas: int, desired: int) -> int:
        """Rule: stabilizeRecommendationWithBehaviors. Up to the lowest, down to the highest of the windows."""
        up, down = self.limits.up.window_s, self.limits.down.window_s
        lowest = min([desired, *(count for at, count in self._recommendations if at > now - up)])
        highest = max([desired, *(count for at, count in self._recommendations if at > now - down)])
        recent = [*self._recommendations, (now, desired)]
        self._recommendations = [(at, count) for at, count in recent if at > now - max(up, down)]
        return min(max(replicas, lowest), highest)

    def _limited(self, now: float, replicas: int, desired: int) -> int:
        """Rule: convertDesiredReplicasWithBehaviorRate."""
        limits = self.limits
        if desired > replicas:
            allowed = max(replicas, self._bound(now, replicas, limits.up, +1))
            return min(desired, allowed, limits.max_replicas)
        if desired < replicas:
            allowed = min(replicas, self._bound(now, replicas, limits.down, -1))
            return max(desired, allowed, limits.min_replicas)
        return desired

    def _bound(self, now: float, replicas: int, rules: Rules, sign: int) -> int:
        """The furthest number that the policies allow; per cent are those of the period's start."""
        if rules.select == "Disabled":
            return replicas
        longest = max(p.period_s for r in (self.limits.up, self.limits.down) for p in r.policies or rules.policies)
        self._changes = [(at, change) for at, change in self._changes if at > now - longest]
        bounds = []
        for policy in rules.policies:
            start = replicas - sum(change for at, change in self._changes if at > now - policy.period_s)
            if policy.kind == "Pods":
                bounds.append(start + sign * policy.value)
            elif sign > 0:
                bounds.append(math.ceil(start * (1 + policy.value / 100)))
            else:
                bounds.append(int(start * (1 - policy.value / 100)))
        # Max is the greatest change, Min the smallest.
        return max(bounds) if (sign > 0) == (rules.select == "Max") else min(bounds)
