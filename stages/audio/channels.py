"""Mixes channel layouts down to one or two channels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_CENTRE = 0.5**0.5
_LOST = 0.1
"""Below this share of the louder channel's energy the mean has cancelled the voice; one silent channel leaves 0.25."""


def downmix_matrix(names: Sequence[str]) -> NDArray[np.float32]:
    """Weights [1 or 2, channels] for libav channel names ("FL", "FC", "LFE", ...).

    Mono and stereo stay unchanged. More channels are mixed to stereo by the weights of ITU-R BS.775 (centres at -3 dB
    on both sides, without the effects channel), scaled so that full level on all channels does not clip.
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


def mix_to_mono(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mix float32 [1 or 2, n] to the signal [n] for analysis.

    The mean of both channels, or the louder one where they cancel each other: with one channel in opposite phase the
    voice is audible and its mean is silent.
    """
    mean: NDArray[np.float32] = channels.mean(axis=0, dtype=np.float32)
    energy = [float(np.dot(channel, channel)) for channel in channels]
    louder: NDArray[np.float32] = channels[int(np.argmax(energy))]
    return louder if float(np.dot(mean, mean)) < _LOST * max(energy) else mean
