"""Sound to what the networks read: frame counts, Whisper's log-mel, speech states and the windows cut from them.

16 kHz samples; 25 audio frames a second, of which the model draws every second one; Whisper hears 30 s at a time, each
for itself, and gives 50 states a second. Frame i of the video is at 80 i ms.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

RATE = 16_000
AUDIO_FRAME = RATE // 25
"""Samples of an audio frame (40 ms)."""
CHUNK = 30 * RATE
"""Samples that Whisper hears at a time."""
MAX_AUDIO_FRAMES = 10_000
"""The official program's cap: 400 s."""

_DFT, _HOP, _BANDS = 400, 160, 80
_STATES_A_CHUNK = 1500
_STATES_A_FRAME = 4
"""Between two frames of the video: 80 ms."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a number of samples becomes."""

    audio_frames: int
    """N, at 25 a second."""
    frames: int
    """T = N // 2, drawn by the model at 12.5 a second."""
    chunks: int
    """Pieces of 30 s, the last one shorter."""
    interpolated: int
    """2 T - 1, at 25 a second, when midpoints are put between."""


def counts(samples: int) -> Counts:
    """Frames of a sound; what lies beyond ``MAX_AUDIO_FRAMES`` is not drawn.

    :raises ValueError: under 1280 samples (80 ms): there is no frame to draw.
    """
    audio_frames = min(samples // AUDIO_FRAME, MAX_AUDIO_FRAMES)
    frames = audio_frames // 2
    if frames < 1:
        raise ValueError(f"samples: {samples}, at least {2 * AUDIO_FRAME} make a frame")
    return Counts(audio_frames, frames, math.ceil(samples / CHUNK), 2 * frames - 1)


@cache
def mel_filters() -> Tensor:
    """Triangular filters float64 [80, 201] on the DFT bins: linear to 1 kHz, logarithmic above, unit area (Slaney)."""
    step_hz, corner_hz, step_log = 200 / 3, 1000.0, math.log(6.4) / 27
    corner_mel = corner_hz / step_hz
    top_mel = corner_mel + math.log(RATE / 2 / corner_hz) / step_log
    mel = torch.linspace(0, top_mel, _BANDS + 2, dtype=torch.float64)
    edges = torch.where(mel < corner_mel, mel * step_hz, corner_hz * torch.exp((mel - corner_mel) * step_log))
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = torch.arange(_DFT // 2 + 1, dtype=torch.float64) * RATE / _DFT
    triangles = torch.minimum((bins - lower) / (centre - lower), (upper - bins) / (upper - centre))
    return triangles.clamp_min(0) * 2 / (upper - lower)


def log_mel(wave: Tensor) -> Tensor:
    """Whisper's log-mel spectrogram (Radford et al. 2022, section 2.2), each 30 s normalised for itself.

    25 ms periodic Hann windows every 10 ms, power, filter bank, log10, floor 8 decades under the chunk's loudest value,
    ``(x + 4) / 4``. The last chunk is filled up with zeros. Computed in float64: a quiet band beside a loud one
    keeps its digits.

    :param wave: float32 [n] of 16 kHz mono samples on the CPU, -1..1, n > 0.
    :returns: float32 [1, 80, 3000 k] for k chunks, about -1.5..1.5.
    """
    window = torch.hann_window(_DFT, dtype=torch.float64)
    columns = []
    for chunk in torch.split(wave, CHUNK):
        filled = functional.pad(chunk.double(), (0, CHUNK - len(chunk)))
        spectrum = torch.stft(filled, _DFT, _HOP, window=window, return_complex=True, pad_mode="reflect")[:, :-1]
        power = spectrum.real.square() + spectrum.imag.square()
        decades = (mel_filters() @ power).clamp_min(1e-10).log10()
        columns.append((torch.maximum(decades, decades.max() - 8) + 4) / 4)
    return torch.cat(columns, 1).float()[None]


def hear(encoder: Callable[[Tensor], Tensor], mel: Tensor, audio_frames: int) -> Tensor:
    """The encoder's states of the whole sound, each 30 s heard once, one after the other.

    :param encoder: [1, 80, 3000] -> [1, 1500, states, C], see nets/whisper.py.
    :param mel: [1, 80, 3000 k] as ``log_mel`` gives it, on the encoder's device.
    :returns: [2 * audio_frames, states, C], officially [., 5, 384].
    """
    positions = 2 * audio_frames
    chunks = torch.split(mel, 2 * _STATES_A_CHUNK, 2)[: math.ceil(positions / _STATES_A_CHUNK)]
    return torch.cat([encoder(chunk)[0] for chunk in chunks])[:positions]


def token_windows(states: Tensor, audio_frames: int) -> Tensor:
    """What audio2token reads: of all states, the 200 ms from 80 ms before a frame to 120 ms after it.

    :param states: [2 * audio_frames, blocks, C].
    :returns: [T, 10, blocks, C]; frame i has states 4 i - 4 .. 4 i + 5, zeros beyond the ends.
    """
    return _windows(states, audio_frames, before=4, after=6)


def bucket_windows(states: Tensor, audio_frames: int) -> Tensor:
    """What audio2bucket reads: of the last state, the second around a frame.

    :param states: [2 * audio_frames, blocks, C].
    :returns: [T, 50, 1, C]; frame i has states 4 i - 24 .. 4 i + 25, zeros beyond the ends.
    """
    return _windows(states[:, -1:], audio_frames, before=24, after=26)


def _windows(states: Tensor, audio_frames: int, before: int, after: int) -> Tensor:
    # The official program takes its padding from the sound itself, which under 0.44 s is too short to give it.
    padded = functional.pad(states[: 2 * audio_frames], (0, 0, 0, 0, before, after))
    return padded.unfold(0, before + after, _STATES_A_FRAME)[: audio_frames // 2].movedim(-1, 1)
