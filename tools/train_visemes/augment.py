"""Augments speech: rooms, telephone lines, noise, speed."""

import numpy as np

from stages.infer.puppet.visemes import RATE as LABEL_RATE
from tools.train_visemes.corpus import Utterance
from tools.train_visemes.signal import RATE, Generator, Signal, mix, noise, resample, reverberate, telephone
from tools.train_visemes.sounds import Labels

_SPEEDS = (0.85, 1.2)
_GAIN_DB = (-30.0, 0.0)


def augment(utterance: Utterance, rng: Generator) -> Utterance:
    """Change speed with pitch, add a room and white, pink or brown noise, apply a telephone line, lower the level."""
    signal, changed = utterance.signal, utterance.labels
    if rng.random() < 0.6:
        speed = float(rng.uniform(*_SPEEDS))
        signal = resample(signal, RATE * speed, RATE)
        changed = _faster(changed, speed, int(len(signal) / RATE * LABEL_RATE))
    if rng.random() < 0.4:
        signal = reverberate(signal, float(rng.uniform(0.08, 0.5)), float(rng.uniform(0.15, 0.7)), rng)
    if rng.random() < 0.4:
        signal = mix(signal, noise(len(signal), float(rng.uniform(0, 2)), rng), float(rng.uniform(5, 30)))
    if rng.random() < 0.15:
        signal = telephone(signal)
    return Utterance(level(signal, rng), changed)


def level(signal: Signal, rng: Generator) -> Signal:
    """Scale to a random peak between -30 dB and full scale."""
    gain = 10 ** (rng.uniform(*_GAIN_DB) / 20) / max(float(np.abs(signal).max()), 1e-9)
    return np.asarray(signal * np.float32(gain), np.float32)


def _faster(original: Labels, speed: float, count: int) -> Labels:
    """Resample the labels; the opening's smoothing changes with the speed, by up to 20 %."""
    middles = (np.arange(count) + 0.5) * speed
    indices = np.clip(middles.astype(int), 0, len(original.classes) - 1)
    opening = np.interp(middles - 0.5, np.arange(len(original.opening)), original.opening)
    return Labels(original.classes[indices], opening.astype(np.float32))
