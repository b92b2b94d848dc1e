"""Log-mel spectrogram as Whisper defines it (Radford et al. 2022, section 2.2), in numpy.

25 ms periodic Hann windows every 10 ms, 400-point DFT power, 80 Slaney-scaled triangles of unit area from 0 to 8 kHz,
log10, floor 8 decades under the loudest value of the whole recording, then (x + 4) / 4.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
HOP = 160
WINDOW = 400
BANDS = 80
_CHUNK_FRAMES = 3000
"""30 s per block: 600 s then need about 30 MB besides the result."""

Array = NDArray[np.float32]


@cache
def mel_filters() -> Array:
    """Triangular filter bank [80, 201] on the DFT bins of 16 kHz: linear to 1 kHz, logarithmic above (Slaney)."""
    step_hz, corner_hz, step_log = 200 / 3, 1000.0, np.log(6.4) / 27
    corner_mel = corner_hz / step_hz
    top_mel = corner_mel + np.log(RATE / 2 / corner_hz) / step_log
    mel = np.linspace(0, top_mel, BANDS + 2)
    edges = np.where(mel < corner_mel, mel * step_hz, corner_hz * np.exp((mel - corner_mel) * step_log))
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.fft.rfftfreq(WINDOW, 1 / RATE)
    triangles = np.minimum((bins - lower) / (centre - lower), (upper - bins) / (upper - centre))
    filters: Array = (np.maximum(triangles, 0) * 2 / (upper - lower)).astype(np.float32)
    return filters


def log_mel(pcm: Array) -> Array:
    """Log-mel spectrogram of float32 [n], 16 kHz mono, -1..1, n > 200 (half a window is reflected at both ends).

    Returns float32 [80, n // 160], about -1.5..1.5; column t is centred on sample 160 t.
    """
    padded = np.pad(pcm.astype(np.float32, copy=False), WINDOW // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][: len(pcm) // HOP]
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
    filters = mel_filters().T
    out = np.empty((BANDS, len(frames)), np.float32)
    for start in range(0, len(frames), _CHUNK_FRAMES):
        spectrum = np.fft.rfft(frames[start : start + _CHUNK_FRAMES] * hann, axis=1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32, copy=False)
        out[:, start : start + _CHUNK_FRAMES] = np.log10(np.maximum(power @ filters, 1e-10)).T
    np.maximum(out, out.max() - 8, out=out)
    out += 4
    out /= 4
    return out
