"""Computes the mouth's movement from the network's visemes: silence, opening, closures, co-articulated shapes.

The opening is the network's. The other shapes use the dominance co-articulation of Cohen and Massaro (1993): every
class has targets and a strength, both spread over time; lips that touch the teeth (f, v) or round outweigh their
neighbours.
"""

import numpy as np
import numpy.typing as npt

from shared.messages.engines import FPS
from stages.infer.puppet.visemes import CLASSES, RATE, SILENCE, Probabilities, Visemes

Track = npt.NDArray[np.float32]

MOUTH = ("open", "wide", "round", "close", "tuck", "teeth", "tongue")
OPEN, WIDE, ROUND, CLOSE, TUCK, TEETH, TONGUE = range(len(MOUTH))

LEAD_S = 0.015
"""The mouth takes a shape slightly before its sound."""
SPREAD_S = 0.035
_MAX_OPENING = 0.95
"""Commanded for a network output of 1."""
_CLOSED, _EXPONENT = 0.03, 0.85
"""Network output of a closed mouth, and a power that raises small openings: a barely open mouth looks closed."""
_SMOOTHING_S = 0.012
_LIPS = CLASSES.index("PBM")
_LIPS_RAMP = (0.2, 0.6)
_PAUSE_RAMP = (0.6, 0.9)
"""Probabilities at which the lips start to close and at which they are closed: for p, b, m and for silence."""
_GATE_DB = 8.0
_GATE_BELOW_PEAK_DB = 45.0
_GATE_FLOOR_DBFS = -75.0

#        strength, wide, round, tuck, teeth, tongue
_TARGETS = {
    "sil": (0.60, (0.00, 0.0, 0.0, 0.0, 0.0)),
    "PBM": (4.00, (0.00, 0.0, 0.0, 0.0, 0.0)),
    "FV": (3.00, (0.10, 0.0, 1.0, 0.6, 0.0)),
    "TH": (1.20, (0.10, 0.0, 0.0, 0.6, 1.0)),
    "TDNL": (0.60, (0.15, 0.0, 0.0, 0.6, 0.7)),
    "SZ": (1.00, (0.35, 0.0, 0.0, 1.0, 0.1)),
    "SH": (1.60, (-0.25, 0.6, 0.0, 1.0, 0.0)),
    "KGH": (0.35, (0.05, 0.0, 0.0, 0.3, 0.1)),
    "R": (0.80, (-0.20, 0.4, 0.0, 0.3, 0.2)),
    "W": (1.80, (-0.70, 1.0, 0.0, 0.0, 0.0)),
    "O": (1.30, (-0.50, 0.7, 0.0, 0.1, 0.0)),
    "A": (1.00, (0.00, 0.0, 0.0, 0.3, 0.1)),
    "E": (1.00, (0.35, 0.0, 0.0, 0.5, 0.1)),
    "I": (1.00, (0.70, 0.0, 0.0, 0.8, 0.1)),
    "AH": (0.70, (0.00, 0.0, 0.0, 0.4, 0.1)),
}
_SHAPED = (WIDE, ROUND, TUCK, TEETH, TONGUE)
_STRENGTH = np.array([_TARGETS[c][0] for c in CLASSES], np.float32)
_SHAPES = np.array([_TARGETS[c][1] for c in CLASSES], np.float32)


def at_frames(track: npt.NDArray[np.floating], rate: float, frames: int, lead_s: float = 0.0) -> Track:
    """Resample a track [T], whose sample k is at time (k + 1/2) / rate, to the middle of each video frame, [frames]."""
    times = (np.arange(frames) + 0.5) / FPS + lead_s
    out: Track = np.interp(times * rate - 0.5, np.arange(len(track)), track).astype(np.float32)
    return out


def audibility(level_dbfs: Track, frames: int) -> Track:
    """[frames] at RATE: 0 where it is too quiet for speech .. 1; level_dbfs: [T], 100 per second.

    The threshold is 45 dB below the recording's loud parts.
    """
    positions = (np.arange(frames) + 0.5) * 100 / RATE
    level = np.interp(positions, np.arange(len(level_dbfs)), level_dbfs)
    threshold = max(float(np.quantile(level_dbfs, 0.95)) - _GATE_BELOW_PEAK_DB, _GATE_FLOOR_DBFS)
    out: Track = np.clip((level - threshold) / _GATE_DB, 0, 1).astype(np.float32)
    return out


def gate(shapes: Probabilities, audible: Track) -> Probabilities:
    """Move the probability of inaudible frames to the class of silence."""
    out = (shapes * audible[:, None]).astype(np.float32)
    out[:, SILENCE] += 1 - out.sum(axis=1)
    return out


def smooth(track: npt.NDArray[np.floating], sigma: float) -> Track:
    """Gaussian low-pass of [T], sigma in samples; the end values are repeated beyond the ends."""
    radius = int(4 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    padded = np.pad(track.astype(np.float64), radius, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), "valid").astype(np.float32)


def coarticulate(shapes: Probabilities) -> Track:
    """Class probabilities [T, classes] to targets [T, 5] (wide, round, tuck, teeth, tongue) at the same rate."""
    weights = shapes * _STRENGTH
    sigma = SPREAD_S * RATE
    total = smooth(weights.sum(axis=1), sigma)
    columns = [smooth(column, sigma) for column in (weights @ _SHAPES).T]
    return (np.stack(columns, axis=1) / np.maximum(total, 1e-6)[:, None]).astype(np.float32)


def opening(visemes: Visemes, audible: Track) -> Track:
    """[T] commanded opening, 0 closed."""
    open_share = np.clip((visemes.opening * audible - _CLOSED) / (1 - _CLOSED), 0, 1) ** _EXPONENT
    return smooth(_MAX_OPENING * open_share, _SMOOTHING_S * RATE)


def closing(shapes: Probabilities, frames: int) -> Track:
    """[frames] 0..1: how firmly the lips are closed, for p, b, m and in pauses."""
    lips = smooth(shapes[:, _LIPS], 0.5)
    # A closure is shorter than a frame: include the maximum around the frame.
    peak = np.maximum(lips, np.maximum(np.roll(lips, 1), np.roll(lips, -1)))
    sounds = at_frames((lips + peak) / 2, RATE, frames, LEAD_S)
    pauses = at_frames(smooth(shapes[:, SILENCE], 1.5), RATE, frames, LEAD_S)
    return np.maximum(_ramp(sounds, *_LIPS_RAMP), _ramp(pauses, *_PAUSE_RAMP))


def mouth_track(visemes: Visemes, level_dbfs: Track, frames: int, dynamic_scale: float) -> Track:
    """Mouth parameters [frames, len(MOUTH)], 25 per second; dynamic_scale: amplitude, 1 is natural."""
    audible = audibility(level_dbfs, len(visemes.opening))
    shapes = gate(visemes.shapes, audible)
    out = np.zeros((frames, len(MOUTH)), np.float32)
    out[:, _SHAPED] = np.stack([at_frames(column, RATE, frames, LEAD_S) for column in coarticulate(shapes).T], axis=1)
    out[:, OPEN] = dynamic_scale * at_frames(opening(visemes, audible), RATE, frames, LEAD_S)
    out[:, CLOSE] = closing(shapes, frames)
    out[:, WIDE] *= dynamic_scale
    out[:, ROUND] *= 0.5 + 0.5 * dynamic_scale
    return out


def _ramp(track: Track, start: float, end: float) -> Track:
    out: Track = np.clip((track - start) / (end - start), 0, 1)
    return out


def closed_mouth(frames: int) -> Track:
    """Parameters of a closed mouth, [frames, len(MOUTH)]."""
    out = np.zeros((frames, len(MOUTH)), np.float32)
    out[:, CLOSE] = 1
    return out
