"""Channel layouts to what a talking head needs: one channel or two."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_CENTRE = 0.5**0.5
_LOST = 0.1
"""A mean of less than this share of the louder channel's energy has lost the voice; one silent channel leaves 0.25."""


def downmix_matrix(names: Sequence[str]) -> NDArray[np.float32]:
    """Weights [1 or 2, channels] for libav channel names ("FL", "FC", "LFE", ...).

    Mono and stereo stay as they are. More channels become stereo by the weights of ITU-R BS.775 (centres at -3 dB on
    both sides, effects channel left out), scaled so that full level on all channels does not clip.
    """
    if len(names) <= 2:
        return np.eye(len(names), dtype=np.float32)
    rows = np.zeros((2, len(names)), np.float32)
    for column, name in enumerate(names):
        side = name[1:2]
        if name.startswith("LFE"):
            continue
        if side in ("L", "R"):
            rows["LR".index(side), column] = 1.0
        else:
            rows[:, column] = _CENTRE
    return rows / max(float(rows.sum(axis=1).max()), 1.0)


def one_voice(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [1 or 2, n] to the one signal [n] that is analysed.

    The mean of both, or the louder one where they cancel each other: a plug or a preamplifier with swapped poles
    records a voice that every listener hears and whose mean is silent.
    """
    mean: NDArray[np.float32] = channels.mean(axis=0, dtype=np.float32)
    energy = [float(np.dot(channel, channel)) for channel in channels]
    louder: NDArray[np.float32] = channels[int(np.argmax(energy))]
    return louder if float(np.dot(mean, mean)) < _LOST * max(energy) else mean
