"""What the mouth ought to do, as the speech tells: an opening over time, and the moments that are asked about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

RATE = 100
"""Values a second; value k stands for the time (k + 1/2) / RATE."""

Kind = Literal["alignment", "energy"]
Track = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, seconds."""

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
    silences: tuple[Span, ...]
    """Pauses of at least MIN_SILENCE_S: the mouth is closed."""
    closures: tuple[Span, ...] | None
    """Sounds that need closed lips (p, b, m); None when this kind of reference can't know them."""
    vowels: tuple[Span, ...]
    """Sounds with an open mouth: open vowels, or what is loud where the energy is all that is known."""

    @property
    def duration(self) -> float:
        return len(self.opening) / RATE

    @property
    def speech_s(self) -> float:
        """Seconds outside the silences."""
        return self.duration - sum(span.length for span in self.silences)


MIN_SILENCE_S = 0.24
MIN_SPEECH_S = 1.0
"""With less there is nothing to be in sync with."""


def within(times: Track, spans: Sequence[Span], trim: float = 0.0) -> NDArray[np.bool_]:
    """Which ``times`` [n] lie inside one of the spans, each shortened (or lengthened) by ``trim`` at both ends."""
    inside = np.zeros(len(times), np.bool_)
    for span in spans:
        inside |= (times >= span.start + trim) & (times <= span.end - trim)
    return inside


def runs(mask: NDArray[np.bool_], rate: float, at_least: float) -> tuple[Span, ...]:
    """The stretches of at least so many seconds in which ``mask`` [T] holds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    found = (Span(start / rate, end / rate) for start, end in edges.reshape(-1, 2).tolist())
    return tuple(span for span in found if span.length >= at_least - 1e-9)
