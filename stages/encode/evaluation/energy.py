"""The expected mouth opening without a transcript: the louder the first formant's band, the wider the mouth.

The first formant rises with the opening of the mouth, and with it the level between 300 and 1500 Hz. The band excludes
hum, most of the voice's fundamental, and the noise of s and sh, which a nearly closed mouth makes. Closed lips can't be
distinguished from other pauses.
"""

import numpy as np
from numpy.typing import NDArray

from stages.encode.evaluation.errors import EvaluationError
from stages.encode.evaluation.reference import MIN_SILENCE_S, RATE, Reference, runs
from stages.encode.evaluation.smoothing import smooth
from stages.encode.evaluation.sound import RATE as SOUND_RATE
from stages.encode.evaluation.sound import Sound

_HOP = SOUND_RATE // RATE
_WINDOW = 400
_FFT = 512
_BAND_HZ = (300.0, 1500.0)
_RANGE_DB = 30.0
"""From the loud parts (the 95 % quantile) down to a closed mouth."""
_SPREAD_S = 0.05
_FLOOR_DB = -80.0
_ROUNDING_DB = 1e-6
_ABOVE_NOISE_DB, _BELOW_LOUD_DB = 8.0, 20.0
"""A pause is at most this much louder than the quietest 5 %, and at least this much quieter than the loud parts: a
recording without pauses has none."""
_SMOOTHING_S = 0.02
_WIDE = 0.75
_MIN_VOWEL_S = 0.06


def expected(speech: Sound) -> Reference:
    """The reference of a recording, [n] at 16 kHz. Raises EvaluationError for less than 10 ms."""
    count = len(speech) // _HOP
    if not count:
        raise EvaluationError("the speech is empty")
    padded = np.pad(speech, (_WINDOW // 2 - _HOP // 2, _WINDOW))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP][:count]
    hertz = np.fft.rfftfreq(_FFT, 1 / SOUND_RATE)
    band = (hertz >= _BAND_HZ[0]) & (hertz < _BAND_HZ[1])
    level, whole = np.empty(count), np.empty(count)
    for start in range(0, count, RATE):  # a second at a time: ten minutes at once would be 250 MB
        part = windows[start : start + RATE] * np.hanning(_WINDOW)
        power = np.abs(np.fft.rfft(part, _FFT, axis=1)) ** 2 / _WINDOW**2
        level[start : start + RATE] = power[:, band].sum(axis=1)
        whole[start : start + RATE] = power.sum(axis=1)
    loud = float(np.quantile(_decibels(level), 0.95))
    opening = np.clip((_decibels(level) - loud) / _RANGE_DB + 1, 0, 1) if loud > _FLOOR_DB else np.zeros(count)
    return Reference(
        kind="energy",
        opening=smooth(opening, _SPREAD_S * RATE),
        silences=runs(_quiet(smooth(_decibels(whole), _SMOOTHING_S * RATE)), RATE, MIN_SILENCE_S),
        closures=None,
        vowels=runs(opening > _WIDE, RATE, _MIN_VOWEL_S),
    )


def _quiet(level_db: NDArray[np.float64]) -> NDArray[np.bool_]:
    noise, loud = (float(v) for v in np.quantile(level_db, [0.05, 0.95]))
    # The smoothed floor differs from the floor by the rounding of the machine's vector instructions.
    return level_db <= max(min(noise + _ABOVE_NOISE_DB, loud - _BELOW_LOUD_DB), _FLOOR_DB + _ROUNDING_DB)


def _decibels(power: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (_FLOOR_DB / 10))), np.float64)
