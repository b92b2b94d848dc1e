"""The expected mouth, derived from the speech: an opening over time, and the moments that are measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

RATE = 100
"""Values per second; value k belongs to the time (k + 1/2) / RATE."""

Kind = Literal["alignment", "energy"]
Track = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval of time, seconds."""

    start: float
    end: float

    @property
    def length(self) -> float:
        return self.end - self.start

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2


@dataclass(frozen=True, slots=True)
class Reference:
    """The expected mouth."""

    kind: Kind
    opening: Track
    """[T] 0 closed .. 1 wide open, at RATE."""
    silences: tuple[Interval, ...]
    """Pauses of at least MIN_SILENCE_S: the mouth is closed."""
    closures: tuple[Interval, ...] | None
    """Sounds that need closed lips (p, b, m); None when this kind of reference does not contain them."""
    vowels: tuple[Interval, ...]
    """Sounds with an open mouth: open vowels, or loud intervals when the reference is the energy."""

    @property
    def duration(self) -> float:
        return len(self.opening) / RATE

    @property
    def speech_s(self) -> float:
        """Seconds outside the silences."""
        return self.duration - sum(silence.length for silence in self.silences)


MIN_SILENCE_S = 0.24
MIN_SPEECH_S = 1.0
"""Sync is not measured on less speech."""


def within(times: Track, intervals: Sequence[Interval], trim: float = 0.0) -> NDArray[np.bool_]:
    """Mask [n] of the ``times`` inside an interval; intervals are shortened by ``trim`` seconds at both ends."""
    inside = np.zeros(len(times), np.bool_)
    for interval in intervals:
        inside |= (times >= interval.start + trim) & (times <= interval.end - trim)
    return inside


def runs(mask: NDArray[np.bool_], rate: float, min_s: float) -> tuple[Interval, ...]:
    """Intervals of at least ``min_s`` seconds in which ``mask`` [T], ``rate`` values per second, is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    intervals = (Interval(start / rate, end / rate) for start, end in edges.reshape(-1, 2).tolist())
    return tuple(interval for interval in intervals if interval.length >= min_s - 1e-9)
