"""What a living face does besides speaking: blinks, glances, breath, and a head that goes with the speech.

The head follows the prosody, as people's does: accents of loudness and pitch are nodded (Munhall et al., 2004), the
slow line of the pitch lifts and lowers it, every phrase takes a posture of its own (Graf et al., 2002), and in pauses
it comes to rest. Only a small part is noise.
"""

import numpy as np
import numpy.typing as npt

from stages.infer.engine import FPS
from stages.infer.puppet.articulation import Track
from stages.infer.puppet.head import BREATH, MOTIONS, PITCH, ROLL, SHIFT_X, SHIFT_Y, YAW, ZOOM
from stages.infer.puppet.prosody import accents, phrases, pitch_line

Generator = np.random.Generator

# In the units of head.MOTIONS. Standard deviations of the wandering, amplitudes of the others.
_WANDER = {SHIFT_X: 0.003, SHIFT_Y: 0.002, ROLL: 0.004, ZOOM: 0.004, YAW: 0.016, PITCH: 0.009}
_POSTURE = {SHIFT_X: 0.008, SHIFT_Y: 0.004, ROLL: 0.011, ZOOM: 0.003, YAW: 0.048, PITCH: 0.020}
_NOD = {SHIFT_Y: 0.010, PITCH: 0.036, ZOOM: 0.002}
_LIFT = {SHIFT_Y: -0.004, PITCH: -0.016}
_TURN_S = 0.9
"""How long the head takes to turn."""
_NOD_LAG_S = 0.06
"""The head's mass comes after the voice."""
_BREATH, _BREATH_HZ = 0.005, 0.25
_SLOWEST_HZ, _FASTEST_HZ, _WAVES = 0.05, 0.55, 7
_EASE_IN_S = 0.8

_FIRST_BLINK_S = (0.7, 2.2)
_BLINK_EVERY_S, _BLINK_AT_LEAST_S = 3.4, 1.3
_FIXATION_S, _GLANCE, _COUNTER_TURN = (0.5, 2.4), 0.022, 0.22
"""Pauses between saccades; their spread in eye widths; how far the eyes turn against the head's yaw."""
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


def gaze_track(frames: int, head: Track, rng: Generator) -> Track:
    """[frames] where the eyes look, eye widths to the picture's right: still, then within a frame elsewhere.

    head: [frames, len(MOTIONS)] poses; the eyes stay with the viewer when the head turns.
    """
    out = np.zeros(frames)
    at = float(rng.uniform(*_FIXATION_S))
    while (first := round(at * FPS)) < frames:
        out[first:] = np.clip(rng.normal(0, _GLANCE), -2 * _GLANCE, 2 * _GLANCE)
        at += float(rng.uniform(*_FIXATION_S))
    return (out - _COUNTER_TURN * head[:, YAW]).astype(np.float32)


def _postures(starts: list[int], frames: int, rng: Generator) -> npt.NDArray[np.float64]:
    """[frames] about -1..1: a new value at each start, reached with least jerk; neighbours differ in sign mostly."""
    out = np.zeros(frames)
    before, side = 0.0, 1.0 if rng.uniform() < 0.5 else -1.0
    turn = round(_TURN_S * FPS)
    s = np.clip(np.arange(1, frames + 1) / turn, 0, 1)
    rise = s**3 * (10 - 15 * s + 6 * s**2)
    for first in starts:
        after = side * float(rng.uniform(0.35, 1.0))
        out[first:] = before + (after - before) * rise[: frames - first]
        before, side = after, -side if rng.uniform() < 0.75 else side
    return out


def head_track(frames: int, tracks: npt.NDArray[np.float32], amplitude: float, rng: Generator) -> Track:
    """[frames, len(MOTIONS)] head poses; amplitude scales all of it. Starts from the portrait's own pose.

    tracks: [3, T] F0 in Hz, voicing 0..1, level in dBFS, 100 a second.
    """
    out = np.zeros((frames, len(MOTIONS)))
    starts, active = phrases(tracks, frames)
    lively = 0.45 + 0.55 * active
    for motion, size in _WANDER.items():
        out[:, motion] = size * _wander(frames, rng)
    for motion, size in _POSTURE.items():
        out[:, motion] += size * lively * _postures(starts, frames, rng)
    nod = accents(tracks, frames, _NOD_LAG_S) * active
    line = pitch_line(tracks, frames) * active
    for sizes, course in ((_NOD, nod), (_LIFT, line)):
        for motion, size in sizes.items():
            out[:, motion] += size * course
    out[:, BREATH] = _BREATH * np.sin(2 * np.pi * (_BREATH_HZ * np.arange(frames) / FPS + rng.uniform()))
    ease = np.clip(np.arange(frames) / (_EASE_IN_S * FPS), 0, 1)
    return (out * amplitude * (ease * ease * (3 - 2 * ease))[:, None]).astype(np.float32)
