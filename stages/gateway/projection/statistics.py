"""Success rate and durations of the jobs that ended in each window of time, by engine and tenant."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stages.gateway.projection.job_table import Row

FAILURES = ("failed", "expired")
"""Outcomes that count against the success rate: the user did not get the video, and was not the reason."""
MAX_WINDOWS = 1000
MAX_GROUPS = 5000
"""Largest number of groups in one answer, all windows together."""
FIELDS = ("engine", "tenant")
"""What jobs can be grouped by."""


class TooMuch(ValueError):
    """The answer would be too large; the text says what to narrow."""


@dataclass(slots=True)
class _Group:
    outcomes: dict[str, int] = field(default_factory=dict)
    totals: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        self.outcomes[row.outcome] = self.outcomes.get(row.outcome, 0) + 1
        if row.total_s is not None:
            self.totals.append(row.total_s)
        for stage, seconds in row.seconds:
            self.stages.setdefault(stage, []).append(seconds)

    def as_json(self) -> dict[str, Any]:
        return {
            "ended": sum(self.outcomes.values()),
            "outcomes": self.outcomes,
            "success_rate": success_rate(self.outcomes),
            "total_s": summary(self.totals),
            "stages": {stage: summary(seconds) for stage, seconds in self.stages.items()},
        }


def windows(rows: Iterable[Row], from_ms: int, to_ms: int, window_s: int, by: Sequence[str]) -> list[dict[str, Any]]:
    """The jobs that ended between ``from_ms`` (included) and ``to_ms`` (excluded), by windows of ``window_s`` seconds;
    windows without one are left out. A window begins at a multiple of its length since the epoch: the first may begin
    before ``from_ms``, and the last end after ``to_ms``.

    ``by`` are names of ``FIELDS``. Raises TooMuch for more than ``MAX_WINDOWS`` windows or ``MAX_GROUPS`` groups.
    """
    length = window_s * 1000
    first, last = from_ms // length, math.ceil(to_ms / length)
    if last - first > MAX_WINDOWS:
        raise TooMuch(f"at most {MAX_WINDOWS} windows: ask for a shorter time or for longer windows")
    groups: dict[tuple[int, tuple[str, ...]], _Group] = {}
    for row in rows:
        if not row.outcome or not from_ms <= row.ended_ms < to_ms:
            continue
        names = {"engine": row.engine, "tenant": row.key.tenant}
        key = row.ended_ms // length, tuple(names[name] for name in by)
        if key not in groups and len(groups) == MAX_GROUPS:
            raise TooMuch(f"at most {MAX_GROUPS} groups: ask for a shorter time, or group by less")
        groups.setdefault(key, _Group()).add(row)
    return [
        {"start_ms": number * length, "end_ms": (number + 1) * length}
        | dict(zip(by, names, strict=True))
        | groups[number, names].as_json()
        for number, names in sorted(groups)
    ]


def success_rate(outcomes: dict[str, int]) -> float | None:
    """Share of done jobs among those that were done, failed or expired; None without one.

    A rejected or cancelled job says nothing of the service.
    """
    done = outcomes.get("done", 0)
    counted = done + sum(outcomes.get(name, 0) for name in FAILURES)
    return done / counted if counted else None


def summary(values: Sequence[float]) -> dict[str, float | int] | None:
    """Count, mean, 50th and 95th percentile (nearest rank) and maximum, seconds; None without values."""
    if not values:
        return None
    ranked = sorted(values)
    return {
        "count": len(ranked),
        "mean": math.fsum(ranked) / len(ranked),
        "p50": ranked[math.ceil(0.5 * len(ranked)) - 1],
        "p95": ranked[math.ceil(0.95 * len(ranked)) - 1],
        "max": ranked[-1],
    }
