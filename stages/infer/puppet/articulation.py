"""From viseme probabilities to the mouth's movement: silence, co-articulation, loudness.

Dominance co-articulation after Cohen and Massaro (1993): every class pulls towards its own targets with a strength of
its own, spread over time; lips that must meet (p, b, m) or touch the teeth (f, v) outweigh their neighbours.
"""

import numpy as np
import numpy.typing as npt

from stages.infer.engine import FPS
from stages.infer.puppet.visemes import CLASSES, RATE, SILENCE, Probabilities

Track = npt.NDArray[np.float32]

MOUTH = ("open", "wide", "round", "close", "tuck", "teeth", "tongue")
OPEN, WIDE, ROUND, CLOSE, TUCK, TEETH, TONGUE = range(len(MOUTH))

LEAD_S = 0.03
"""The mouth takes a shape a little before it sounds."""
SPREAD_S = 0.035
GAIN = 1.25
_GATE_DB = 8.0
_GATE_BELOW_PEAK_DB = 45.0
_GATE_FLOOR_DBFS = -62.0

#        strength,  open, wide, round, close, tuck, teeth, tongue
_TARGETS = {
    "sil": (0.60, (0.00, 0.00, 0.0, 0.85, 0.0, 0.0, 0.0)),
    "PBM": (4.00, (0.00, 0.00, 0.0, 1.00, 0.0, 0.0, 0.0)),
    "FV": (3.00, (0.10, 0.10, 0.0, 0.00, 1.0, 0.6, 0.0)),
    "TH": (1.20, (0.25, 0.10, 0.0, 0.00, 0.0, 0.6, 1.0)),
    "TDNL": (0.60, (0.22, 0.15, 0.0, 0.00, 0.0, 0.6, 0.7)),
    "SZ": (1.00, (0.16, 0.35, 0.0, 0.00, 0.0, 1.0, 0.1)),
    "SH": (1.60, (0.22, -0.25, 0.6, 0.00, 0.0, 1.0, 0.0)),
    "KGH": (0.35, (0.30, 0.05, 0.0, 0.00, 0.0, 0.3, 0.1)),
    "R": (0.80, (0.25, -0.20, 0.4, 0.00, 0.0, 0.3, 0.2)),
    "W": (1.80, (0.16, -0.70, 1.0, 0.00, 0.0, 0.0, 0.0)),
    "O": (1.30, (0.50, -0.50, 0.7, 0.00, 0.0, 0.1, 0.0)),
    "A": (1.00, (0.95, 0.00, 0.0, 0.00, 0.0, 0.3, 0.1)),
    "E": (1.00, (0.60, 0.35, 0.0, 0.00, 0.0, 0.5, 0.1)),
    "I": (1.00, (0.30, 0.70, 0.0, 0.00, 0.0, 0.8, 0.1)),
    "AH": (0.70, (0.45, 0.00, 0.0, 0.00, 0.0, 0.4, 0.1)),
}
_STRENGTH = np.array([_TARGETS[c][0] for c in CLASSES], np.float32)
_SHAPES = np.array([_TARGETS[c][1] for c in CLASSES], np.float32)


def at_frames(track: npt.NDArray[np.floating], rate: float, frames: int, lead_s: float = 0.0) -> Track:
    """A track [T] whose sample k stands for time (k + 1/2) / rate, at the middle of each video frame."""
    when = (np.arange(frames) + 0.5) / FPS + lead_s
    out: Track = np.interp(when * rate - 0.5, np.arange(len(track)), track).astype(np.float32)
    return out


def gate(probabilities: Probabilities, level_dbfs: Track) -> Probabilities:
    """Hand what is too quiet to be speech to the class of silence, which the network does not know well.

    level_dbfs: [T] level, 100 a second. The threshold hangs 45 dB under the recording's loud parts.
    """
    when = (np.arange(len(probabilities)) + 0.5) * 100 / RATE
    level = np.interp(when, np.arange(len(level_dbfs)), level_dbfs)
    threshold = max(float(np.quantile(level_dbfs, 0.95)) - _GATE_BELOW_PEAK_DB, _GATE_FLOOR_DBFS)
    heard = np.clip((level - threshold) / _GATE_DB, 0, 1)[:, None]
    out = (probabilities * heard).astype(np.float32)
    out[:, SILENCE] += 1 - out.sum(axis=1)
    return out


def smooth(track: npt.NDArray[np.floating], sigma: float) -> Track:
    """Gaussian low-pass of [T], sigma in samples; the ends count as continued."""
    reach = int(4 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(track.astype(np.float64), reach, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), "valid").astype(np.float32)


def coarticulate(probabilities: Probabilities) -> Track:
    """[T, classes] to mouth targets [T, len(MOUTH)] at the same rate."""
    pull = probabilities * _STRENGTH
    sigma = SPREAD_S * RATE
    total = smooth(pull.sum(axis=1), sigma)
    columns = [smooth(column, sigma) for column in (pull @ _SHAPES).T]
    return (np.stack(columns, axis=1) / np.maximum(total, 1e-6)[:, None]).astype(np.float32)


def mouth_track(probabilities: Probabilities, level_dbfs: Track, frames: int, dynamic_scale: float) -> Track:
    """Mouth parameters [frames, len(MOUTH)] at 25 a second. dynamic_scale: amplitude, 1 natural."""
    targets = coarticulate(gate(probabilities, level_dbfs))
    out = np.stack([at_frames(column, RATE, frames, LEAD_S) for column in targets.T], axis=1)
    # A closure is shorter than a frame: take the tightest moment of the frame into account, and sharpen.
    closing = targets[:, CLOSE]
    tightest = np.maximum(closing, np.maximum(np.roll(closing, 1), np.roll(closing, -1)))
    closing_frames = 0.5 * out[:, CLOSE] + 0.5 * at_frames(tightest, RATE, frames, LEAD_S)
    out[:, CLOSE] = np.clip((closing_frames - 0.35) / 0.45, 0, 1)
    out[:, OPEN] *= GAIN * dynamic_scale * loudness_gain(level_dbfs, frames)
    out[:, WIDE] *= dynamic_scale
    out[:, ROUND] *= 0.5 + 0.5 * dynamic_scale
    return out


def loudness_gain(level_dbfs: Track, frames: int) -> Track:
    """[frames] 0.75..1.2: louder syllables open wider than quiet ones of the same recording."""
    envelope = smooth(level_dbfs, 8.0)
    ordinary = float(np.quantile(level_dbfs, 0.75))
    gain: Track = np.clip(1 + 0.02 * (at_frames(envelope, 100.0, frames) - ordinary), 0.75, 1.2)
    return gain


def closed_mouth(frames: int) -> Track:
    """A mouth that stays closed, [frames, len(MOUTH)]."""
    out = np.zeros((frames, len(MOUTH)), np.float32)
    out[:, CLOSE] = 1
    return out
