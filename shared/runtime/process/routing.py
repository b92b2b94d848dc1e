"""Which partition a task goes to: chosen here, never by hashing the job id.

Hashing leaves some owners with several long tasks and others with none: efficiency 0.61 at four replicas against
0.95 to 1.0 for an explicit choice.
"""

import math
import random
from threading import Lock


def stride(partitions: int) -> int:
    """A step that visits every partition, with neighbours in time far apart.

    Assignors give an owner either a run of neighbours or every n-th partition; a step near the golden section, coprime
    to the count, spreads a burst over the owners in both cases.
    """
    wanted = max(1, round(partitions * 0.618))
    candidates = sorted(range(1, partitions + 1), key=lambda step: abs(step - wanted))
    return next(step for step in candidates if math.gcd(step, partitions) == 1)


class RoundRobin:
    """Round-robin over a topic's partitions, from a random start (replicas must not march in step). Thread-safe."""

    def __init__(self, start: int | None = None) -> None:
        self._start = random.randrange(1 << 16) if start is None else start
        self._sent: dict[str, int] = {}
        self._lock = Lock()

    def choose(self, topic: str, partitions: int) -> int:
        """The partition for the next task."""
        with self._lock:
            n = self._sent.get(topic, self._start)
            self._sent[topic] = n + 1
        return n * stride(partitions) % partitions
