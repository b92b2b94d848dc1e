"""Sound tracks as one voice at 16 kHz, and where one lies in another."""

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from stages.encode.judge.errors import Unjudgeable
from stages.encode.judge.footage import opened, zero

RATE = 16_000
Sound = NDArray[np.float32]

_COMPARED_S = 60
_FARTHEST_S = 2.0
_SAME = 0.3
"""Correlation of the samples from which a track holds the recording: the same sound through AAC gives 0.999, other
speech 0.05."""


def load(path: Path) -> Sound:
    """The first sound track, [n] float32 mono at 16 kHz, -1..1; sample 0 is the file's zero.

    Raises Unjudgeable when there is none, or nothing in it.
    """
    with opened(path) as file:
        if not file.streams.audio:
            raise Unjudgeable(f"{path} has no sound track")
        resampler = av.AudioResampler("flt", "mono", RATE)
        blocks: list[Sound] = []
        late: float | None = None
        for frame in file.decode(file.streams.audio[0]):
            if late is None:
                late = (frame.time or 0.0) - zero(file)
            blocks += [np.asarray(part.to_ndarray(), np.float32).ravel() for part in resampler.resample(frame)]
        blocks += [np.asarray(part.to_ndarray(), np.float32).ravel() for part in resampler.resample(None)]
    if late is None:
        raise Unjudgeable(f"{path} holds no sound")
    sound, shift = np.concatenate(blocks), round(late * RATE)
    return np.pad(sound, (shift, 0)) if shift > 0 else sound[-shift:]


def lateness_ms(track: Sound, speech: Sound) -> float | None:
    """How much later ``track`` says the same as ``speech``, milliseconds, up to two seconds either way.

    None when it does not say the same. Compares the first minute.
    """
    a, b = (signal[: _COMPARED_S * RATE].astype(np.float64) for signal in (track, speech))
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norm == 0:
        return None
    size = 1 << (len(a) + len(b)).bit_length()
    product = np.fft.irfft(np.fft.rfft(a, size) * np.fft.rfft(b, size).conj(), size) / norm
    far = int(_FARTHEST_S * RATE)
    near = np.concatenate([product[-far:], product[: far + 1]])
    best = int(near.argmax())
    return (best - far) * 1000 / RATE if near[best] >= _SAME else None
