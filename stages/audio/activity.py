"""Where somebody speaks, by Silero VAD 6.2 (MIT), and how far the speech stands above the rest."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from shared.slot.weights import read_weights

WEIGHTS = Path(__file__).with_name("weights")
RATE = 16_000
STEP = 512
"""Samples that one probability stands for: 32 ms."""
_CONTEXT = 64
_STATE = (1, 1, 128)
_STEPS_AT_ONCE = 1000
_SPEAKS = 0.5
_FEWEST = 4
"""Steps, 0.13 s: the shortest word of 458 recordings has so many; beeps reached none, music two."""
_WARM_UP_STEPS = 20
"""The network misses speech that it starts in the middle of: a shorter recording is heard after a step of silence.

Of the sample's 130 loud stretches of 0.2 s it loses 7 then, not 41; of 79 of chords it takes 6 for speech, not none.
"""
_HOPS = 100
"""Levels a second."""
_NOISE_SHARE = 0.1
_WITH_PAUSES_S = 2.0
"""From here on a tenth of a recording is no speech: 2 of 168 clean stretches of 2 s seem noisy by it, of 1 s 8."""
_SHORTEST_NOISE_S = 0.06
"""Of 995 clean prompts under 2 s none seems noisy by it, with white noise at 5 dB 973 of 982; by 0.2 s 385."""
NOISY_DB = 11.0
"""White noise mixed in at 10 dB is under it, at 15 dB above; so are two of 458 clean recordings."""

Array = NDArray[np.float32]


class SpeechActivity:
    """The network over `speech_activity.onnx`: any language, whispering and singing count."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(
            read_weights(WEIGHTS, "speech_activity.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def probabilities(self, pcm: Array) -> Array:
        """Probability of speech in each 32 ms of float32 [n] at 16 kHz mono: [ceil(n / 512)]."""
        spoken = -(-len(pcm) // STEP)
        before = int(spoken < _WARM_UP_STEPS)
        count = before + spoken
        padded = np.pad(pcm, (_CONTEXT + before * STEP, spoken * STEP - len(pcm)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, _CONTEXT + STEP)[::STEP]
        found = []
        state = {name: np.zeros(_STATE, np.float32) for name in ("h", "c")}
        for start in range(0, count, _STEPS_AT_ONCE):
            part = np.ascontiguousarray(windows[start : start + _STEPS_AT_ONCE])
            speech, state["h"], state["c"] = self._session.run(["speech_probs", "hn", "cn"], {"input": part, **state})
            found.append(speech)
        return np.concatenate(found)[before:]


def has_speech(probabilities: Array) -> bool:
    """Whether anybody speaks or sings in it."""
    return int(np.count_nonzero(probabilities > _SPEAKS)) >= _FEWEST


def signal_to_noise_db(level_dbfs: Array, probabilities: Array) -> float:
    """Mean power of the speech over that of the noise, decibels; infinite where there is nothing to tell the noise by.

    The noise is the quietest tenth of the recording. A word has no pause: under 2 s 0.06 s of it must be no speech, and
    the noise is the quietest tenth of that where it is quieter. level_dbfs: as `loudness.rms_dbfs` gives it. Of white
    noise and of other voices mixed in at 0 to 15 dB it is right within 1.2 dB for the one, 2.4 for the other.
    """
    power = 10 ** (level_dbfs.astype(np.float64) / 10)
    middles = (np.arange(len(probabilities)) + 0.5) * STEP / RATE * _HOPS
    speaks = np.interp(np.arange(len(power)), middles, probabilities) > _SPEAKS
    if not speaks.any():
        return 0.0
    noise = float(np.quantile(power, _NOISE_SHARE))
    if len(power) < _WITH_PAUSES_S * _HOPS:
        other = power[~speaks]
        if len(other) < _SHORTEST_NOISE_S * _HOPS:
            return np.inf
        noise = min(noise, float(np.quantile(other, _NOISE_SHARE)))
    noise = max(noise, 1e-10)
    return float(10 * np.log10(max(float(power[speaks].mean()) - noise, 1e-10) / noise))
