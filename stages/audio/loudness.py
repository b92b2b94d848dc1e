"""The RMS level of a recording, and whether it is silent.

RMS in dBFS, not BS.1770: the animation needs the level of a voice over 25 ms, and K-weighting with 400 ms gates
changes neither that nor the silence decision.
"""

import numpy as np
from numpy.typing import NDArray

HOP = 160
WINDOW = 400
FLOOR_DBFS = -100.0
SILENCE_DBFS = -60.0
"""A quiet recording of a voice peaks 20 dB above this; a converter's own noise stays below it."""
_AUDIBLE_FRAMES = 10
"""0.1 s: less than a syllable, so a click in an empty recording is still silence."""

Array = NDArray[np.float32]


def rms_dbfs(pcm: Array) -> Array:
    """Level over 25 ms around each 10 ms step of float32 [n] at 16 kHz.

    Returns float32 [n // 160], -100..0 dBFS (above 0 when samples exceed 1); a full-scale sine has -3 dBFS.
    """
    count = len(pcm) // HOP
    total = np.concatenate([[0.0], np.cumsum(np.square(pcm, dtype=np.float64))])
    centres = np.arange(count) * HOP
    first = np.maximum(centres - WINDOW // 2, 0)
    last = np.minimum(centres + WINDOW // 2, len(pcm))
    power = (total[last] - total[first]) / (last - first)
    level: Array = np.maximum(10 * np.log10(np.maximum(power, 1e-12)), FLOOR_DBFS).astype(np.float32)
    return level


def is_silent(level_dbfs: Array) -> bool:
    """Whether a recording with this level track [n] is inaudible."""
    return int(np.count_nonzero(level_dbfs > SILENCE_DBFS)) < min(_AUDIBLE_FRAMES, len(level_dbfs))
