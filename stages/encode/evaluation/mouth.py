"""Whether the mouth is closed, open and still when the reference expects it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.encode.evaluation.lips import Readings
from stages.encode.evaluation.reference import Interval, Reference, within

_CLOSED_SHARE = 0.25
"""Closed: below a quarter of the way from the 5 % to the 95 % quantile of the openings. Relative to the video, because
the closed position of a portrait's mouth is unknown: a mouth that never closes counts as one that does."""
_TOLERANCE_S = 0.04
_TRIM_S = 0.08
MOVES = 0.02
"""Range of openings, in eye distances, below which the mouth counts as still."""


@dataclass(frozen=True, slots=True)
class MouthMetrics:
    """Shares 0..1; None where the reference has no such moment, or the mouth is still."""

    opening_range: float
    """From the 5 % to the 95 % quantile of the opening, in eye distances."""
    closures: int | None
    """Number of sounds p, b, m."""
    closure_rate: float | None
    """Share of them with a closed frame within 40 ms."""
    closure_chance: float | None
    """The same for intervals of their median length everywhere in the speech."""
    silence_closed: float | None
    """Share of closed frames in pauses, 80 ms trimmed off both ends."""
    vowel_ratio: float | None
    """Mean opening in open vowels divided by that of the rest of the speech."""
    jitter: float | None
    """Root mean square of the second difference, in standard deviations of the opening."""

    @property
    def closure_lift(self) -> float | None:
        """Closure rate minus its chance level."""
        if self.closure_rate is None or self.closure_chance is None:
            return None
        return self.closure_rate - self.closure_chance


def measure(readings: Readings, reference: Reference) -> MouthMetrics:
    """Compare the readings with the moments of the reference."""
    times, opening = readings.times, readings.opening
    low, high = readings.quantiles
    closures = reference.closures
    moves = bool(high - low >= MOVES)
    if not moves:
        return MouthMetrics(
            float(high - low), None if closures is None else len(closures), None, None, None, None, None
        )
    closed = opening < low + _CLOSED_SHARE * (high - low)
    pauses = within(times, reference.silences, _TRIM_S)
    vowels = within(times, reference.vowels)
    others = ~vowels & ~within(times, reference.silences)
    return MouthMetrics(
        opening_range=float(high - low),
        closures=None if closures is None else len(closures),
        closure_rate=_share([_closes(times, closed, closure) for closure in closures]) if closures else None,
        closure_chance=_chance(times, closed, closures, reference.silences) if closures else None,
        silence_closed=_share(closed[pauses]),
        vowel_ratio=float(opening[vowels].mean() / max(opening[others].mean(), 1e-6))
        if vowels.any() and others.any()
        else None,
        jitter=float(np.sqrt(np.mean(np.diff(opening, 2) ** 2)) / opening.std()),
    )


def _share(hits: NDArray[np.bool_] | list[bool]) -> float | None:
    return float(np.mean(hits)) if len(hits) else None


def _closes(times: NDArray[np.float64], closed: NDArray[np.bool_], interval: Interval) -> bool:
    return bool(closed[within(times, [interval], -_TOLERANCE_S)].any())


def _chance(
    times: NDArray[np.float64],
    closed: NDArray[np.bool_],
    closures: tuple[Interval, ...],
    silences: tuple[Interval, ...],
) -> float | None:
    """Closure rate of intervals of the closures' median length, centred on every frame outside the pauses."""
    half = float(np.median([closure.length for closure in closures])) / 2
    middles = times[~within(times, silences)]
    return _share([_closes(times, closed, Interval(t - half, t + half)) for t in middles.tolist()])
