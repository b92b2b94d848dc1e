"""Memory and file descriptors of the services over time, and whether they grow."""

import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from shared.local import processes
from tests.chaos.fleet import Fleet

WARM_S = 45.0
"""Time in which a new process still loads what it needs; not part of a slope."""
SHORTEST_S = 60.0
"""A process that lived shorter after that has no slope."""


@dataclass(frozen=True)
class Sample:
    """One process with its workers at one moment."""

    at_s: float
    memory_mb: float
    descriptors: int


@dataclass
class Growth:
    """Call ``sample`` every few seconds."""

    fleet: Fleet
    samples: dict[tuple[str, int], list[Sample]] = field(default_factory=lambda: defaultdict(list))
    born: dict[tuple[str, int], float] = field(default_factory=dict)

    def sample(self) -> None:
        """Measure every running service."""
        pids = self.fleet.processes()
        usage = processes.usage(pids.values())
        for name, pid in pids.items():
            now = time.monotonic()
            started = self.born.setdefault((name, pid), now)
            if now - started < WARM_S:
                continue
            try:
                descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
            except OSError:
                continue  # It has ended meanwhile.
            self.samples[name, pid].append(Sample(now, usage[pid].memory_mb, descriptors))

    def slopes(self) -> dict[str, tuple[float, float, float]]:
        """By service: growth of memory (MiB a minute) and of descriptors (a minute), and the minutes measured; the mean
        over its processes, weighted by how long each was measured."""
        found = {}
        for service in {name for name, _ in self.samples}:
            parts = [s for (name, _), s in self.samples.items() if name == service and _length(s) >= SHORTEST_S]
            total = sum(map(_length, parts))
            if total:
                memory = sum(_slope([(s.at_s, s.memory_mb) for s in part]) * _length(part) for part in parts) / total
                files = sum(_slope([(s.at_s, s.descriptors) for s in part]) * _length(part) for part in parts) / total
                found[service] = (memory * 60, files * 60, total / 60)
        return found


def _length(samples: list[Sample]) -> float:
    return samples[-1].at_s - samples[0].at_s if samples else 0.0


def _slope(points: list[tuple[float, float]]) -> float:
    """The slope of the straight line through the points with the least squares, per second."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    square = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / square if square else 0.0
