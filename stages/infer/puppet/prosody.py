"""What the voice does besides its words: accents, the line of the pitch, phrases and pauses."""

import numpy as np
import numpy.typing as npt

from stages.infer.engine import FPS
from stages.infer.puppet.articulation import Track, at_frames, smooth

Tracks = npt.NDArray[np.float32]
"""[3, T] F0 in Hz (0 unvoiced), voicing 0..1, level in dBFS, RATE a second."""

RATE = 100.0
_PAUSE_S = 0.24
"""A silence so long ends a phrase."""
_SHORTEST_S, _ACCENT_AFTER_S, _GOES_ON_S = 0.9, 1.6, 0.45
"""Phrases last at least so long; after so long an accent begins a new one, if the speech then goes on for so long."""


def _audible(level_dbfs: Track) -> Track:
    """The level, no lower than 40 dB under the recording's loud parts."""
    audible: Track = np.maximum(level_dbfs, np.quantile(level_dbfs, 0.95) - 40)
    return audible


def _semitones(f0_hz: Track, voicing: Track) -> npt.NDArray[np.float64]:
    """[T] pitch around the speaker's own median, carried on where there is no voice; all 0 without any."""
    voiced = (f0_hz > 0) & (voicing > 0.5)
    if voiced.sum() < 10:
        return np.zeros(len(f0_hz))
    at = np.flatnonzero(voiced)
    pitch = 12 * np.log2(f0_hz[at] / np.median(f0_hz[at]))
    result: npt.NDArray[np.float64] = np.interp(np.arange(len(f0_hz)), at, np.clip(pitch, -9, 9))
    return result


def accents(tracks: Tracks, frames: int, lag_s: float = 0.0) -> Track:
    """[frames] -1..1: how much louder and higher the moment lag_s ago was than what surrounds it."""
    level = _audible(tracks[2])
    louder = (smooth(level, 12.0) - smooth(level, 80.0)) / 9
    pitch = _semitones(tracks[0], tracks[1])
    higher = (smooth(pitch, 10.0) - smooth(pitch, 80.0)) / 4
    return at_frames(np.clip(0.65 * louder + 0.5 * higher, -1, 1), RATE, frames, -lag_s)


def pitch_line(tracks: Tracks, frames: int) -> Track:
    """[frames] -1..1: the slow course of the pitch around the speaker's median."""
    return at_frames(np.clip(smooth(_semitones(tracks[0], tracks[1]), 45.0) / 5, -1, 1), RATE, frames)


def phrases(tracks: Tracks, frames: int) -> tuple[list[int], Track]:
    """Frames at which a phrase begins, and [frames] 0..1 whether somebody speaks, softly."""
    level = _audible(tracks[2])
    speaks = smooth((smooth(level, 4.0) > float(np.quantile(tracks[2], 0.95)) - 28).astype(np.float32), 12.0)
    active = at_frames(speaks, RATE, frames)
    stress = accents(tracks, frames)
    starts: list[int] = []
    silent_for = _PAUSE_S
    for frame in range(frames):
        silent_for = silent_for + 1 / FPS if active[frame] < 0.5 else 0.0
        next_active = active[min(frames - 1, frame + 1)]
        begins = silent_for >= _PAUSE_S and next_active >= 0.5
        peak = 0 < frame < frames - 1 and stress[frame] > 0.35 and stress[frame] >= stress[frame - 1 : frame + 2].max()
        goes_on = active[min(frames - 1, frame + round(_GOES_ON_S * FPS))] >= 0.5
        since = (frame - starts[-1]) / FPS if starts else np.inf
        if (begins and since >= _SHORTEST_S) or (peak and goes_on and since >= _ACCENT_AFTER_S):
            starts.append(frame)
    return starts, active
