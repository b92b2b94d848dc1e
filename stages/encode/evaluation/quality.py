"""One score for a frame and for a render: whether the face is present and the mouth fits the sound.

``picture * (still + moves * (moving + speaking))``: a wrong face scores below a still mouth, and a still mouth below
one that moves at the wrong time.
"""

from dataclasses import dataclass

import numpy as np

from stages.encode.evaluation import sync
from stages.encode.evaluation.lips import Readings
from stages.encode.evaluation.mouth import MOVES
from stages.encode.evaluation.reference import MIN_SPEECH_S, Reference, Track

_STILL, _MOVING, _SPEAKING = 0.2, 0.2, 0.6
"""Score of a clear face, and what is added for a mouth that moves and for one that fits the sound."""
_TALKING_RANGE = 0.05
"""Range of openings, in eye distances, of a talking mouth."""
_CHANCE, _IN_SYNC = 0.1, 0.7
"""Correlation with the level of the speech at chance, and of a mouth in sync."""
_WINDOW_S = 1.0


@dataclass(frozen=True, slots=True)
class Quality:
    """Scores 0..1."""

    render: float
    frames: Track
    """[n], one per reading; the correlation covers the second before and after."""


def measure(readings: Readings, picture: Track, reference: Reference | None, detection_rate: float = 1.0) -> Quality:
    """Score readings that are in order of time.

    picture: [n] likeness of the face, 0..1; reference: of the file's own sound, from the file's zero; detection_rate:
    share of detections that found the face, 0..1. Only the picture counts when the reference is None or has less than a
    second of speech.
    """
    face = detection_rate * float(picture.mean())
    if reference is None or reference.speech_s < MIN_SPEECH_S:
        return Quality(face, picture)
    times, opening = readings.times, readings.opening
    expected = sync.expected_at(reference, times)
    moves = float(np.clip((readings.range - MOVES) / (_TALKING_RANGE - MOVES), 0, 1))
    windows = [np.abs(times - time) <= _WINDOW_S for time in times.tolist()]
    local = np.array([_fit(opening[window], expected[window]) for window in windows])
    return Quality(
        face * (_STILL + moves * (_MOVING + _SPEAKING * _fit(opening, expected))),
        picture * (_STILL + moves * (_MOVING + _SPEAKING * local)),
    )


def _fit(opening: Track, expected: Track) -> float:
    r = sync.correlation(opening, expected)
    return 0.0 if r is None else float(np.clip((r - _CHANCE) / (_IN_SYNC - _CHANCE), 0, 1))
