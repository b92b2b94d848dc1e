"""Motion besides the mouth: blinks, gaze, breath and a head that follows the speech.

The head follows the prosody: it nods at accents of loudness and pitch (Munhall et al., 2004), rises and falls with the
slow course of the pitch, takes a new posture with every phrase (Graf et al., 2002), and rests in pauses. A small part
is noise.
"""

import numpy as np
import numpy.typing as npt

from shared.messages.engines import FPS
from stages.infer.puppet.articulation import Track
from stages.infer.puppet.head import BREATH, MOTIONS, PITCH, ROLL, SHIFT_X, SHIFT_Y, YAW, ZOOM
from stages.infer.puppet.prosody import accents, phrases, pitch_line

Generator = np.random.Generator

# In the units of head.MOTIONS: standard deviations of the drift, amplitudes of the others.
_DRIFT = {SHIFT_X: 0.003, SHIFT_Y: 0.002, ROLL: 0.004, ZOOM: 0.004, YAW: 0.016, PITCH: 0.009}
_POSTURE = {SHIFT_X: 0.008, SHIFT_Y: 0.004, ROLL: 0.011, ZOOM: 0.003, YAW: 0.048, PITCH: 0.020}
_NOD = {SHIFT_Y: 0.010, PITCH: 0.036, ZOOM: 0.002}
_LIFT = {SHIFT_Y: -0.004, PITCH: -0.016}
_TURN_S = 0.9
"""Duration of a turn of the head."""
_NOD_LAG_S = 0.06
"""Delay of the head's motion after the voice."""
_BREATH, _BREATH_HZ = 0.005, 0.25
_MIN_DRIFT_HZ, _MAX_DRIFT_HZ, _WAVES = 0.05, 0.55, 7
_EASE_IN_S = 0.8

_FIRST_BLINK_S = (0.7, 2.2)
_BLINK_INTERVAL_S, _MIN_BLINK_INTERVAL_S = 3.4, 1.3
_FIXATION_S, _SACCADE, _COUNTER_ROTATION = (0.5, 2.4), 0.022, 0.22
"""Duration of fixations; standard deviation of saccades in eye widths; counter-rotation of the eyes per unit of yaw."""
# Lid closure in steps of 40 ms around the closed eye: closing is about twice as fast as opening.
_BLINK_SHAPE = (0.45, 1.0, 0.95, 0.60, 0.25)


def generator(seed: int) -> Generator:
    """The only random generator of a render; seed: 0..2^32-1."""
    return np.random.Generator(np.random.PCG64(seed))


def blink_track(frames: int, rng: Generator) -> Track:
    """Lid closure [frames], 0 open .. 1 closed; the intervals between blinks are log-normal, as measured on people."""
    out = np.zeros(frames, np.float32)
    time_s = float(rng.uniform(*_FIRST_BLINK_S))
    while (first := round(time_s * FPS)) < frames:
        for frame, closure in enumerate(_BLINK_SHAPE, first - 1):
            if 0 <= frame < frames:
                out[frame] = max(out[frame], closure)
        time_s += _MIN_BLINK_INTERVAL_S + float(rng.lognormal(np.log(_BLINK_INTERVAL_S - _MIN_BLINK_INTERVAL_S), 0.5))
    return out


def _drift(frames: int, rng: Generator) -> npt.NDArray[np.float64]:
    """Slow noise [frames] of unit power: sines with random phases, with amplitudes that fall with frequency."""
    hz = np.geomspace(_MIN_DRIFT_HZ, _MAX_DRIFT_HZ, _WAVES) * rng.uniform(0.85, 1.15, _WAVES)
    phase = rng.uniform(0, 2 * np.pi, _WAVES)
    height = hz**-0.7 * rng.uniform(0.7, 1.3, _WAVES)
    seconds = np.arange(frames)[:, None] / FPS
    waves = height * np.sin(2 * np.pi * hz * seconds + phase)
    total: npt.NDArray[np.float64] = waves.sum(axis=1) / np.sqrt((height**2).sum() / 2)
    return total


def gaze_track(frames: int, head: Track, rng: Generator) -> Track:
    """Direction of the gaze [frames], eye widths to the picture's right: fixations, with saccades within one frame.

    head: [frames, len(MOTIONS)] poses; the eyes stay on the viewer when the head turns.
    """
    out = np.zeros(frames)
    time_s = float(rng.uniform(*_FIXATION_S))
    while (first := round(time_s * FPS)) < frames:
        out[first:] = np.clip(rng.normal(0, _SACCADE), -2 * _SACCADE, 2 * _SACCADE)
        time_s += float(rng.uniform(*_FIXATION_S))
    return (out - _COUNTER_ROTATION * head[:, YAW]).astype(np.float32)


def _postures(starts: list[int], frames: int, rng: Generator) -> npt.NDArray[np.float64]:
    """[frames] about -1..1: a new value at each start, reached with minimum jerk; the sign mostly alternates."""
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
    """Head poses [frames, len(MOTIONS)], scaled by ``amplitude``; the first is the portrait's own pose.

    tracks: [3, T] F0 in Hz, voicing 0..1, level in dBFS, 100 per second.
    """
    out = np.zeros((frames, len(MOTIONS)))
    starts, active = phrases(tracks, frames)
    lively = 0.45 + 0.55 * active
    for motion, size in _DRIFT.items():
        out[:, motion] = size * _drift(frames, rng)
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
