"""What a living face does besides speaking: blinks, a wandering head, nods on stressed syllables, breath."""

import numpy as np
import numpy.typing as npt

from stages.infer.engine import FPS
from stages.infer.puppet.articulation import Track, at_frames, smooth
from stages.infer.puppet.head import BREATH, MOTIONS, PITCH, ROLL, SHIFT_X, SHIFT_Y, YAW, ZOOM

Generator = np.random.Generator

# Standard deviations of the wandering, in the units of head.MOTIONS.
_WANDER = {SHIFT_X: 0.008, SHIFT_Y: 0.005, ROLL: 0.010, ZOOM: 0.005, YAW: 0.045, PITCH: 0.025}
_NOD = {SHIFT_Y: 0.008, PITCH: 0.030}
_BREATH, _BREATH_HZ = 0.005, 0.25
_SLOWEST_HZ, _FASTEST_HZ, _WAVES = 0.05, 0.55, 7
_EASE_IN_S = 0.8

_FIRST_BLINK_S = (0.7, 2.2)
_BLINK_EVERY_S, _BLINK_AT_LEAST_S = 3.4, 1.3
# Lid closure at 40 ms steps around the shut eye: closing is about twice as fast as opening.
_BLINK_SHAPE = (0.45, 1.0, 0.95, 0.60, 0.25)


def generator(seed: int) -> Generator:
    """All chance of one render comes from here. seed: 0..2^32-1."""
    return np.random.Generator(np.random.PCG64(seed))


def blink_track(frames: int, rng: Generator) -> Track:
    """[frames] lid closure, 0 open .. 1 shut. The pauses between blinks are log-normal, as people's are."""
    out = np.zeros(frames, np.float32)
    at = float(rng.uniform(*_FIRST_BLINK_S))
    while (first := round(at * FPS)) < frames:
        for frame, closure in enumerate(_BLINK_SHAPE, first - 1):
            if 0 <= frame < frames:
                out[frame] = max(out[frame], closure)
        at += _BLINK_AT_LEAST_S + float(rng.lognormal(np.log(_BLINK_EVERY_S - _BLINK_AT_LEAST_S), 0.5))
    return out


def _wander(frames: int, rng: Generator) -> npt.NDArray[np.float64]:
    """[frames] slow noise of unit power: sines with random phases, weaker the faster they are."""
    hz = np.geomspace(_SLOWEST_HZ, _FASTEST_HZ, _WAVES) * rng.uniform(0.85, 1.15, _WAVES)
    phase = rng.uniform(0, 2 * np.pi, _WAVES)
    height = hz**-0.7 * rng.uniform(0.7, 1.3, _WAVES)
    seconds = np.arange(frames)[:, None] / FPS
    waves = height * np.sin(2 * np.pi * hz * seconds + phase)
    total: npt.NDArray[np.float64] = waves.sum(axis=1) / np.sqrt((height**2).sum() / 2)
    return total


def stress(level_dbfs: Track, frames: int) -> Track:
    """[frames] -1..1: how much louder a moment is than what surrounds it."""
    audible = np.maximum(level_dbfs, np.quantile(level_dbfs, 0.95) - 40)
    return at_frames(np.clip((smooth(audible, 14.0) - smooth(audible, 90.0)) / 9, -1, 1), 100.0, frames)


def head_track(frames: int, level_dbfs: Track, amplitude: float, rng: Generator) -> Track:
    """[frames, len(MOTIONS)] head poses; amplitude scales all of it. Starts from the portrait's own pose."""
    out = np.zeros((frames, len(MOTIONS)))
    for motion, size in _WANDER.items():
        out[:, motion] = size * _wander(frames, rng)
    nod = stress(level_dbfs, frames)
    for motion, size in _NOD.items():
        out[:, motion] += size * nod
    out[:, BREATH] = _BREATH * np.sin(2 * np.pi * (_BREATH_HZ * np.arange(frames) / FPS + rng.uniform()))
    ease = np.clip(np.arange(frames) / (_EASE_IN_S * FPS), 0, 1)
    return (out * amplitude * (ease * ease * (3 - 2 * ease))[:, None]).astype(np.float32)
