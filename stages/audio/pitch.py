"""Fundamental frequency and voicing by YIN (de Cheveigné and Kawahara 2002), vectorised over frames."""

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
HOP = 160
MIN_HZ = 60.0
MAX_HZ = 500.0
_INTEGRATION = 512
"""32 ms: two periods of the lowest voice."""
_LONGEST = int(np.ceil(RATE / MIN_HZ))
_SHORTEST = int(RATE / MAX_HZ)
_SPAN = _INTEGRATION + _LONGEST + 2
_FFT = 800
_DIP = 0.15
"""Absolute threshold of the paper: the first dip under it is the period."""
_VOICED = 0.55
_CHUNK_FRAMES = 1000
_QUIET_DBFS = -55.0

Array = NDArray[np.float32]


def pitch_track(pcm: Array, level_dbfs: Array) -> tuple[Array, Array]:
    """F0 and voicing every 10 ms.

    pcm: float32 [n] at 16 kHz mono; level_dbfs: float32 [n // 160], frames below -55 dBFS count as unvoiced. Returns
    F0 in Hz (60..500; 0 where unvoiced) and voicing 0..1 (1: perfectly periodic), float32 [n // 160] each.
    """
    count = len(pcm) // HOP
    before = (_INTEGRATION + _LONGEST) // 2
    padded = np.pad(pcm.astype(np.float32, copy=False), (before, _SPAN + HOP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _SPAN)[::HOP][:count]
    f0 = np.empty(count, np.float32)
    voicing = np.empty(count, np.float32)
    for start in range(0, count, _CHUNK_FRAMES):
        stop = min(start + _CHUNK_FRAMES, count)
        period, depth = _periods(_normalised_difference(frames[start:stop]))
        f0[start:stop] = RATE / period
        voicing[start:stop] = np.clip(1 - depth, 0, 1)
    voicing[level_dbfs < _QUIET_DBFS] = 0
    voicing = _median5(voicing)
    f0[voicing < _VOICED] = 0
    return _remove_octave_errors(f0), voicing


def _normalised_difference(frames: Array) -> Array:
    """Cumulative mean normalised difference d'(lag), [frames, _LONGEST + 2]; equation 8 of the paper."""
    lags = _LONGEST + 2
    spectrum = np.fft.rfft(frames, _FFT, axis=1)
    head = np.fft.rfft(frames[:, :_INTEGRATION], _FFT, axis=1)
    correlation = np.fft.irfft(spectrum * head.conj(), _FFT, axis=1)[:, :lags]
    total = np.zeros((len(frames), _SPAN + 1))
    np.cumsum(np.square(frames, dtype=np.float64), axis=1, out=total[:, 1:])
    energy = total[:, _INTEGRATION : _INTEGRATION + lags] - total[:, :lags]
    difference = np.maximum(energy[:, :1] + energy - 2 * correlation, 0)
    difference[:, 0] = 0
    mean = np.cumsum(difference, axis=1) / np.maximum(np.arange(lags), 1)
    normalised = np.divide(difference, mean, out=np.ones_like(difference), where=mean > 1e-9)
    return normalised.astype(np.float32)


def _periods(normalised: Array) -> tuple[Array, Array]:
    """Period in samples (refined by a parabola through the dip) and the dip's depth, [frames] each."""
    inner = normalised[:, _SHORTEST : _LONGEST + 1]
    falls = normalised[:, _SHORTEST - 1 : _LONGEST] >= inner
    rises = normalised[:, _SHORTEST + 1 : _LONGEST + 2] > inner
    dips = falls & rises & (inner < _DIP)
    lag = np.where(dips.any(axis=1), dips.argmax(axis=1), inner.argmin(axis=1)) + _SHORTEST
    row = np.arange(len(normalised))
    left, centre, right = (normalised[row, lag + shift] for shift in (-1, 0, 1))
    curve = left - 2 * centre + right
    shift = np.divide(left - right, 2 * curve, out=np.zeros_like(curve), where=curve > 1e-9)
    period = np.clip(lag + np.clip(shift, -0.5, 0.5), RATE / MAX_HZ, RATE / MIN_HZ)
    return period.astype(np.float32), centre


def _neighbours(track: Array) -> Array:
    """Each value with two neighbours on both sides, [n, 5]; the end values are repeated."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(track, 2, mode="edge"), 5)


def _median5(track: Array) -> Array:
    return np.median(_neighbours(track), axis=1).astype(np.float32)


def _remove_octave_errors(f0: Array) -> Array:
    """Replace a voiced value that is far from the median of its voiced neighbours by that median."""
    neighbours = np.where(_neighbours(f0) > 0, _neighbours(f0), np.nan)
    voiced = f0 > 0
    median = np.zeros_like(f0)
    median[voiced] = np.nanmedian(neighbours[voiced], axis=1)
    jump = voiced & (np.abs(np.log2(np.maximum(f0, 1) / np.maximum(median, 1))) > 0.4)
    return np.where(jump, median, f0).astype(np.float32)
