"""Loads sound tracks as 16 kHz mono, and measures the delay of one against another."""

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from stages.encode.evaluation.errors import EvaluationError
from stages.encode.evaluation.media import open_media, start_s

RATE = 16_000
Sound = NDArray[np.float32]

_COMPARED_S = 60
_MAX_DELAY_S = 2.0
_SAME = 0.3
"""Correlation of the samples from which a track contains the recording: the same sound through AAC gives 0.999, other
speech 0.05."""
_MISREAD = frozenset(("pcm_f24le", "pcm_f16le"))
"""libav reads a WAV with 24 or fewer valid bits in 32 as if its samples were floats of old programs."""


def load(path: Path) -> Sound:
    """Load the first sound track, [n] float32 mono at 16 kHz, -1..1; sample 0 is the file's zero.

    Raises EvaluationError when there is none, it is empty, or its samples would be read as others.
    """
    with open_media(path) as file:
        if not file.streams.audio:
            raise EvaluationError(f"{path} has no sound track")
        if file.streams.audio[0].codec_context.codec.name in _MISREAD:
            raise EvaluationError(f"{path} has fewer valid bits than its samples: convert it to FLAC or 16-bit WAV")
        resampler = av.AudioResampler("flt", "mono", RATE)
        blocks: list[Sound] = []
        delay_s: float | None = None
        for frame in file.decode(file.streams.audio[0]):
            if delay_s is None:
                delay_s = (frame.time or 0.0) - start_s(file)
            blocks += [np.asarray(part.to_ndarray(), np.float32).ravel() for part in resampler.resample(frame)]
        blocks += [np.asarray(part.to_ndarray(), np.float32).ravel() for part in resampler.resample(None)]
    if delay_s is None:
        raise EvaluationError(f"{path} holds no sound")
    sound, shift = np.concatenate(blocks), round(delay_s * RATE)
    return np.pad(sound, (shift, 0)) if shift > 0 else sound[-shift:]


def delay_ms(track: Sound, speech: Sound) -> float | None:
    """Delay of ``track`` [n] against ``speech`` [m] in milliseconds, up to two seconds either way.

    None when the track does not contain the speech. Compares the first minute.
    """
    a, b = (signal[: _COMPARED_S * RATE].astype(np.float64) for signal in (track, speech))
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norm == 0:
        return None
    size = 1 << (len(a) + len(b)).bit_length()
    product = np.fft.irfft(np.fft.rfft(a, size) * np.fft.rfft(b, size).conj(), size) / norm
    limit = int(_MAX_DELAY_S * RATE)
    correlations = np.concatenate([product[-limit:], product[: limit + 1]])
    best = int(correlations.argmax())
    return (best - limit) * 1000 / RATE if correlations[best] >= _SAME else None
