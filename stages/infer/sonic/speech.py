"""Audio features for the networks: frame counts, Whisper's log-mel, encoder states and windows of them.

Samples are at 16 kHz. There are 25 audio frames a second, of which the model draws every second one. Whisper encodes
30 s at a time, independently, into 50 states a second. Frame i of the video is at 80 i ms.
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
"""Samples that Whisper encodes at a time."""
MAX_AUDIO_FRAMES = 10_000
"""The official program's limit: 400 s."""

_N_FFT, _HOP, _N_MELS = 400, 160, 80
_STATES_PER_CHUNK = 1500
_STATES_PER_FRAME = 4
"""Encoder states between two frames of the video: 80 ms."""


@dataclass(frozen=True, slots=True)
class FrameCounts:
    """Frame counts of an audio clip."""

    audio_frames: int
    """N, at 25 a second."""
    frames: int
    """T = N // 2, drawn by the model at 12.5 a second."""
    chunks: int
    """Pieces of 30 s, the last one shorter."""
    interpolated: int
    """2 T - 1, at 25 a second, with interpolated midpoints."""


def count_frames(samples: int) -> FrameCounts:
    """Count the frames of an audio clip, up to ``MAX_AUDIO_FRAMES``.

    Raises ValueError below 1280 samples (80 ms), which give no frame.
    """
    audio_frames = min(samples // AUDIO_FRAME, MAX_AUDIO_FRAMES)
    frames = audio_frames // 2
    if frames < 1:
        raise ValueError(f"samples: {samples}, at least {2 * AUDIO_FRAME} make a frame")
    return FrameCounts(audio_frames, frames, math.ceil(samples / CHUNK), 2 * frames - 1)


@cache
def mel_filters() -> Tensor:
    """Triangular filters float64 [80, 201] on the DFT bins: linear to 1 kHz, logarithmic above, unit area (Slaney)."""
    step_hz, corner_hz, step_log = 200 / 3, 1000.0, math.log(6.4) / 27
    corner_mel = corner_hz / step_hz
    top_mel = corner_mel + math.log(RATE / 2 / corner_hz) / step_log
    mel = torch.linspace(0, top_mel, _N_MELS + 2, dtype=torch.float64)
    edges = torch.where(mel < corner_mel, mel * step_hz, corner_hz * torch.exp((mel - corner_mel) * step_log))
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = torch.arange(_N_FFT // 2 + 1, dtype=torch.float64) * RATE / _N_FFT
    triangles = torch.minimum((bins - lower) / (centre - lower), (upper - bins) / (upper - centre))
    return triangles.clamp_min(0) * 2 / (upper - lower)


def log_mel(wave: Tensor) -> Tensor:
    """Whisper's log-mel spectrogram (Radford et al. 2022, section 2.2), each 30 s normalised for itself.

    25 ms periodic Hann windows every 10 ms, power, filter bank, log10, floor 8 decades below the chunk's largest value,
    ``(x + 4) / 4``. The last chunk is padded with zeros. Computed in float64, which keeps the precision of quiet bands
    beside loud ones. wave: float32 [n] of 16 kHz mono samples on the CPU, -1..1, n > 0. Returns float32
    [1, 80, 3000 k] for k chunks, about -1.5..1.5.
    """
    window = torch.hann_window(_N_FFT, dtype=torch.float64)
    columns = []
    for chunk in torch.split(wave, CHUNK):
        filled = functional.pad(chunk.double(), (0, CHUNK - len(chunk)))
        spectrum = torch.stft(filled, _N_FFT, _HOP, window=window, return_complex=True, pad_mode="reflect")[:, :-1]
        power = spectrum.real.square() + spectrum.imag.square()
        decades = (mel_filters() @ power).clamp_min(1e-10).log10()
        columns.append((torch.maximum(decades, decades.max() - 8) + 4) / 4)
    return torch.cat(columns, 1).float()[None]


def encode_audio(encoder: Callable[[Tensor], Tensor], mel: Tensor, audio_frames: int) -> Tensor:
    """The encoder's states of the whole clip; each 30 s are encoded once.

    encoder: maps [1, 80, 3000] to [1, 1500, blocks, C], see nets/whisper.py; mel: [1, 80, 3000 k] from ``log_mel``, on
    the encoder's device. Returns [2 * audio_frames, blocks, C], officially [., 5, 384].
    """
    positions = 2 * audio_frames
    chunks = torch.split(mel, 2 * _STATES_PER_CHUNK, 2)[: math.ceil(positions / _STATES_PER_CHUNK)]
    return torch.cat([encoder(chunk)[0] for chunk in chunks])[:positions]


def token_windows(states: Tensor, audio_frames: int) -> Tensor:
    """Input of audio2token: all layers' states from 80 ms before a frame to 120 ms after it.

    states: [2 * audio_frames, blocks, C]. Returns [T, 10, blocks, C]; frame i has states 4 i - 4 .. 4 i + 5, zeros
    beyond the ends.
    """
    return _windows(states, audio_frames, before=4, after=6)


def bucket_windows(states: Tensor, audio_frames: int) -> Tensor:
    """Input of audio2bucket: the last layer's states of the second around a frame.

    states: [2 * audio_frames, blocks, C]. Returns [T, 50, 1, C]; frame i has states 4 i - 24 .. 4 i + 25, zeros beyond
    the ends.
    """
    return _windows(states[:, -1:], audio_frames, before=24, after=26)


def _windows(states: Tensor, audio_frames: int, before: int, after: int) -> Tensor:
    # Zero padding. The official program pads with the clip's own states and fails below 0.44 s.
    padded = functional.pad(states[: 2 * audio_frames], (0, 0, 0, 0, before, after))
    return padded.unfold(0, before + after, _STATES_PER_FRAME)[: audio_frames // 2].movedim(-1, 1)
