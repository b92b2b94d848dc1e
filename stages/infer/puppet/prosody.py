"""Measures prosody: accents, the course of the pitch, phrases and pauses."""

import numpy as np
import numpy.typing as npt

from shared.messages.engines import FPS
from stages.infer.puppet.articulation import Track, at_frames, smooth

Tracks = npt.NDArray[np.float32]
"""[3, T] F0 in Hz (0 unvoiced), voicing 0..1, level in dBFS, RATE per second."""

RATE = 100.0
_PAUSE_S = 0.24
"""Shortest silence that ends a phrase."""
_MIN_PHRASE_S, _ACCENT_AFTER_S, _CONTINUES_S = 0.9, 1.6, 0.45
"""Shortest phrase; time after which an accent starts a new phrase; speech that must follow such an accent."""


def _floored(level_dbfs: Track) -> Track:
    """The level, clamped to 40 dB below the recording's loud parts."""
    floored: Track = np.maximum(level_dbfs, np.quantile(level_dbfs, 0.95) - 40)
    return floored


def _semitones(f0_hz: Track, voicing: Track) -> npt.NDArray[np.float64]:
    """Pitch [T] relative to the speaker's median, interpolated over unvoiced parts; 0 without any voiced part."""
    voiced = (f0_hz > 0) & (voicing > 0.5)
    if voiced.sum() < 10:
        return np.zeros(len(f0_hz))
    indices = np.flatnonzero(voiced)
    pitch = 12 * np.log2(f0_hz[indices] / np.median(f0_hz[indices]))
    result: npt.NDArray[np.float64] = np.interp(np.arange(len(f0_hz)), indices, np.clip(pitch, -9, 9))
    return result


def accents(tracks: Tracks, frames: int, lag_s: float = 0.0) -> Track:
    """[frames] -1..1: loudness and pitch relative to their surroundings, delayed by ``lag_s`` seconds."""
    level = _floored(tracks[2])
    louder = (smooth(level, 12.0) - smooth(level, 80.0)) / 9
    pitch = _semitones(tracks[0], tracks[1])
    higher = (smooth(pitch, 10.0) - smooth(pitch, 80.0)) / 4
    return at_frames(np.clip(0.65 * louder + 0.5 * higher, -1, 1), RATE, frames, -lag_s)


def pitch_line(tracks: Tracks, frames: int) -> Track:
    """[frames] -1..1: the slow course of the pitch relative to the speaker's median."""
    return at_frames(np.clip(smooth(_semitones(tracks[0], tracks[1]), 45.0) / 5, -1, 1), RATE, frames)


def phrases(tracks: Tracks, frames: int) -> tuple[list[int], Track]:
    """The frames at which phrases start, and speech activity [frames] 0..1, smoothed."""
    level = _floored(tracks[2])
    speaks = smooth((smooth(level, 4.0) > float(np.quantile(tracks[2], 0.95)) - 28).astype(np.float32), 12.0)
    active = at_frames(speaks, RATE, frames)
    stress = accents(tracks, frames)
    starts: list[int] = []
    silent_for = _PAUSE_S
    for frame in range(frames):
        silent_for = silent_for + 1 / FPS if active[frame] < 0.5 else 0.0
        next_active = active[min(frames - 1, frame + 1)]
        after_pause = silent_for >= _PAUSE_S and next_active >= 0.5
        peak = 0 < frame < frames - 1 and stress[frame] > 0.35 and stress[frame] >= stress[frame - 1 : frame + 2].max()
        continues = active[min(frames - 1, frame + round(_CONTINUES_S * FPS))] >= 0.5
        since = (frame - starts[-1]) / FPS if starts else np.inf
        if (after_pause and since >= _MIN_PHRASE_S) or (peak and continues and since >= _ACCENT_AFTER_S):
            starts.append(frame)
    return starts, active
