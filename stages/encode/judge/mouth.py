"""Whether the mouth is closed, open and still where it should be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.encode.judge.lips import Readings
from stages.encode.judge.reference import Reference, Span, within

_CLOSED_SHARE = 0.25
"""Closed: below a quarter of the way from the 5 % to the 95 % quantile of the openings. Relative to the video, for no
portrait is known with its mouth closed; so a mouth that never closes passes for one that does."""
_TOLERANCE_S = 0.04
_TRIM_S = 0.08
MOVES = 0.02
"""Range of openings, in distances of the eyes, below which the mouth does not move."""


@dataclass(frozen=True, slots=True)
class Mouth:
    """Shares 0..1; None where the reference names no such moment, or the mouth does not move at all."""

    opening_range: float
    """From the 5 % to the 95 % quantile of the opening, in distances of the eyes."""
    closures: int | None
    """How many sounds p, b, m there are."""
    closure_rate: float | None
    """Share of them with a closed frame, give or take a frame."""
    closure_chance: float | None
    """The same for stretches of the same lengths everywhere in the speech."""
    silence_closed: float | None
    """Share of closed frames in pauses, 80 ms trimmed off both ends."""
    vowel_ratio: float | None
    """Mean opening in open vowels, against the rest of the speech."""
    jitter: float | None
    """Root mean square of the second difference, in standard deviations of the opening."""

    @property
    def closure_lift(self) -> float | None:
        """How much more often than by chance the lips close where they must."""
        if self.closure_rate is None or self.closure_chance is None:
            return None
        return self.closure_rate - self.closure_chance


def measure(readings: Readings, reference: Reference) -> Mouth:
    """Compare the readings with the moments that the reference names."""
    times, opening = readings.times, readings.opening
    low, high = readings.quantiles
    closures = reference.closures
    moves = bool(high - low >= MOVES)
    if not moves:
        return Mouth(float(high - low), None if closures is None else len(closures), None, None, None, None, None)
    closed = opening < low + _CLOSED_SHARE * (high - low)
    pauses = within(times, reference.silences, _TRIM_S)
    vowels = within(times, reference.vowels)
    others = ~vowels & ~within(times, reference.silences)
    return Mouth(
        opening_range=float(high - low),
        closures=None if closures is None else len(closures),
        closure_rate=_share([_closes(times, closed, span) for span in closures]) if closures else None,
        closure_chance=_chance(times, closed, closures, reference.silences) if closures else None,
        silence_closed=_share(closed[pauses]),
        vowel_ratio=float(opening[vowels].mean() / max(opening[others].mean(), 1e-6))
        if vowels.any() and others.any()
        else None,
        jitter=float(np.sqrt(np.mean(np.diff(opening, 2) ** 2)) / opening.std()),
    )


def _share(hits: NDArray[np.bool_] | list[bool]) -> float | None:
    return float(np.mean(hits)) if len(hits) else None


def _closes(times: NDArray[np.float64], closed: NDArray[np.bool_], span: Span) -> bool:
    return bool(closed[within(times, [span], -_TOLERANCE_S)].any())


def _chance(
    times: NDArray[np.float64], closed: NDArray[np.bool_], closures: tuple[Span, ...], silences: tuple[Span, ...]
) -> float | None:
    """Every frame outside the pauses as the middle of a stretch as long as the middle one of the closures."""
    half = float(np.median([span.length for span in closures])) / 2
    middles = times[~within(times, silences)]
    return _share([_closes(times, closed, Span(t - half, t + half)) for t in middles.tolist()])
