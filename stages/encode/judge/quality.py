"""One number for a frame and for a render: whether the face is there and the mouth says what is heard.

``picture * (still + moves * (moving + speaking))``: a wrong face is worse than a mouth that never moves, and
that is worse than one that moves at the wrong time.
"""

from dataclasses import dataclass

import numpy as np

from stages.encode.judge import sync
from stages.encode.judge.lips import Readings
from stages.encode.judge.mouth import MOVES
from stages.encode.judge.reference import MIN_SPEECH_S, Reference, Track

_STILL, _MOVING, _SPEAKING = 0.2, 0.2, 0.6
"""What a clear face is worth, what a mouth that opens and closes adds, and what one adds that fits the sound."""
_TALKS = 0.05
"""Range of openings, in distances of the eyes, from which the mouth moves as one that talks does."""
_CHANCE, _FITS = 0.1, 0.7
"""Correlation with the level of the speech that says nothing, and the best of a mouth in sync."""
_AROUND_S = 1.0


@dataclass(frozen=True, slots=True)
class Quality:
    """Scores 0..1."""

    render: float
    frames: Track
    """[n], one a reading; the correlation is that of the second before and after."""


def measure(readings: Readings, picture: Track, reference: Reference | None, found: float = 1.0) -> Quality:
    """readings: in order of time; picture [n]: how much of the face is there; found: share of looks that saw one.

    reference: of what the file lets hear, laid at its zero; without at least a second of speech in it, or None, only
    the picture counts.
    """
    face = found * float(picture.mean())
    if reference is None or reference.speech_s < MIN_SPEECH_S:
        return Quality(face, picture)
    times, opening = readings.times, readings.opening
    expected = sync.shown(reference, times)
    moves = float(np.clip((readings.range - MOVES) / (_TALKS - MOVES), 0, 1))
    near = [np.abs(times - time) <= _AROUND_S for time in times.tolist()]
    local = np.array([_fit(opening[around], expected[around]) for around in near])
    return Quality(
        face * (_STILL + moves * (_MOVING + _SPEAKING * _fit(opening, expected))),
        picture * (_STILL + moves * (_MOVING + _SPEAKING * local)),
    )


def _fit(opening: Track, expected: Track) -> float:
    r = sync.correlation(opening, expected)
    return 0.0 if r is None else float(np.clip((r - _CHANCE) / (_FITS - _CHANCE), 0, 1))
