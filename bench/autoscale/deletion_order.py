"""Which pod a ReplicaSet removes first.

Rule: ActivePodsWithRanks of Kubernetes (`pkg/controller/controller_utils.go`): not ready before ready, then the lower
`controller.kubernetes.io/pod-deletion-cost`, then the one that is ready for the shorter time, then the younger one.
Left out: pods without a node, the number of pods on the node and restarts, which these replicas do not have.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

BUSY_COST = 1000
"""Deletion cost of a replica that works, where it says so (LIPSTAGE_POD_DELETION_COST)."""


@dataclass(frozen=True, slots=True)
class Pod:
    """What decides the order; times are seconds of one clock."""

    name: str
    created_at: float
    ready_at: float | None
    """None: not ready."""
    deletion_cost: int = 0


def removal_order(pods: Iterable[Pod]) -> list[Pod]:
    """The pods, the first to be removed first. Ages are compared in powers of two of seconds by Kubernetes, so that
    pods of similar age are chosen at random; here the exact age decides, so that a run can be repeated."""
    return sorted(
        pods,
        key=lambda pod: (
            pod.ready_at is not None,
            pod.deletion_cost,
            -(pod.ready_at if pod.ready_at is not None else math.inf),
            -pod.created_at,
            pod.name,
        ),
    )
