"""Voice activity by Silero VAD 6.2 (MIT), and the signal-to-noise ratio of the speech."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from shared.slot.weights import read_weights

WEIGHTS = Path(__file__).with_name("weights")
RATE = 16_000
STEP = 512
"""Samples per probability: 32 ms."""
_CONTEXT = 64
_STATE = (1, 1, 128)
_BATCH_STEPS = 1000
_THRESHOLD = 0.5
_MIN_STEPS = 4
"""0.13 s, the shortest word of 458 recordings; beeps reached no step, music two."""
_WARM_UP_STEPS = 20
"""A shorter recording is preceded by a step of silence: the network misses speech at its very start.

Of the sample's 130 loud intervals of 0.2 s it then misses 7 instead of 41; of 79 intervals of chords it takes 6 for
speech instead of none.
"""
_LEVELS_PER_S = 100
_NOISE_SHARE = 0.1
_WITH_PAUSES_S = 2.0
"""From this length on a tenth of a recording has no speech: with 2 s, 2 of 168 clean intervals are measured as noisy,
with 1 s 8."""
_MIN_NOISE_S = 0.06
"""With it none of 995 clean prompts under 2 s is measured as noisy, and 973 of 982 with white noise at 5 dB; with 0.2 s
only 385 of those."""
NOISY_DB = 11.0
"""White noise mixed in at 10 dB is below it, at 15 dB above; two of 458 clean recordings are below it."""

Array = NDArray[np.float32]


class SpeechActivity:
    """The network of ``speech_activity.onnx``: detects any language, whispering and singing."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(
            read_weights(WEIGHTS, "speech_activity.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def probabilities(self, pcm: Array) -> Array:
        """Probability of speech in each 32 ms of float32 [n] at 16 kHz mono: [ceil(n / 512)]."""
        steps = -(-len(pcm) // STEP)
        warm_up = int(steps < _WARM_UP_STEPS)
        count = warm_up + steps
        padded = np.pad(pcm, (_CONTEXT + warm_up * STEP, steps * STEP - len(pcm)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, _CONTEXT + STEP)[::STEP]
        probabilities = []
        state = {name: np.zeros(_STATE, np.float32) for name in ("h", "c")}
        for start in range(0, count, _BATCH_STEPS):
            batch = np.ascontiguousarray(windows[start : start + _BATCH_STEPS])
            speech, state["h"], state["c"] = self._session.run(["speech_probs", "hn", "cn"], {"input": batch, **state})
            probabilities.append(speech)
        return np.concatenate(probabilities)[warm_up:]


def has_speech(probabilities: Array) -> bool:
    """Whether anybody speaks or sings in a recording with these probabilities [n]."""
    return int(np.count_nonzero(probabilities > _THRESHOLD)) >= _MIN_STEPS


def signal_to_noise_db(level_dbfs: Array, probabilities: Array) -> float:
    """Mean power of the speech relative to the noise, decibels; infinite when the noise can't be measured.

    The noise is the quietest tenth of the recording. A single word has no pause: under 2 s the recording must have
    0.06 s without speech, and the noise is the quietest tenth of those where it is quieter. level_dbfs: [n] of
    ``loudness.rms_dbfs``; probabilities: [m] of ``SpeechActivity.probabilities``. With white noise and with other
    voices mixed in at 0 to 15 dB the result is within 1.2 dB and 2.4 dB.
    """
    power = 10 ** (level_dbfs.astype(np.float64) / 10)
    middles = (np.arange(len(probabilities)) + 0.5) * STEP / RATE * _LEVELS_PER_S
    speaks = np.interp(np.arange(len(power)), middles, probabilities) > _THRESHOLD
    if not speaks.any():
        return 0.0
    noise = float(np.quantile(power, _NOISE_SHARE))
    if len(power) < _WITH_PAUSES_S * _LEVELS_PER_S:
        other = power[~speaks]
        if len(other) < _MIN_NOISE_S * _LEVELS_PER_S:
            return np.inf
        noise = min(noise, float(np.quantile(other, _NOISE_SHARE)))
    noise = max(noise, 1e-10)
    return float(10 * np.log10(max(float(power[speaks].mean()) - noise, 1e-10) / noise))
