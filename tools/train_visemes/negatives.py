"""Negative examples, with a closed mouth: silence, noise, a crowd, music."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tools.train_visemes.signal import RATE, Generator, Signal, noise, rms

KINDS = ("silence", "hush", "noise", "crowd", "music")
_TALKERS = 8
_MAJOR, _MINOR = (0, 4, 7, 12), (0, 3, 7, 10)


def negatives(count: int, speech: Sequence[Signal], rng: Generator) -> Iterator[tuple[str, Signal]]:
    """``count`` signals of 2 to 6 s, of each kind in turn; a crowd is many of the recordings in ``speech`` at once."""
    for index in range(count):
        kind, samples = KINDS[index % len(KINDS)], int(rng.uniform(2, 6) * RATE)
        if kind == "silence":
            yield kind, np.zeros(samples, np.float32)
        elif kind == "hush":
            yield kind, noise(samples, float(rng.uniform(0, 2)), rng) * np.float32(10 ** rng.uniform(-4.5, -3))
        elif kind == "noise":
            yield kind, noise(samples, float(rng.uniform(0, 2)), rng) * np.float32(10 ** rng.uniform(-2.5, -0.8))
        elif kind == "crowd":
            yield kind, crowd(samples, speech, rng)
        else:
            yield kind, music(samples, rng)


def crowd(samples: int, speech: Sequence[Signal], rng: Generator) -> Signal:
    """Many talkers at once."""
    total = np.zeros(samples, np.float32)
    for pick in rng.integers(len(speech), size=_TALKERS):
        talker = np.resize(speech[pick], samples)
        total += np.roll(talker, int(rng.integers(samples))) / max(rms(talker), 1e-6)
    return total * np.float32(rng.uniform(0.005, 0.05))


def music(samples: int, rng: Generator) -> Signal:
    """Chords of decaying or held harmonics over a beat of drums."""
    out = np.zeros(samples)
    beat = int(RATE * 60 / rng.uniform(70, 150))
    root, scale = rng.integers(36, 60), (_MAJOR, _MINOR)[int(rng.integers(2))]
    brightness, decay = rng.uniform(1.0, 2.5), rng.choice([0.5, 2.0, 8.0])
    for start in range(0, samples, beat):
        time = np.arange(min(2 * beat, samples - start)) / RATE
        step = int(rng.choice([0, 5, 7, -3]))
        for interval in scale:
            hertz = 440 * 2 ** ((root + step + interval + 12 * int(rng.integers(2)) - 69) / 12)
            for harmonic in range(1, 9):
                if hertz * harmonic < RATE / 2:
                    wave = np.sin(2 * np.pi * hertz * harmonic * time + rng.uniform(0, 2 * np.pi))
                    out[start : start + len(time)] += wave * harmonic**-brightness * np.exp(-time * decay) * 0.1
        if rng.random() < 0.7:
            out[start : start + len(time)] += _drum(time, rng)
    return (out * (rng.uniform(0.02, 0.5) / max(float(np.abs(out).max()), 1e-9))).astype(np.float32)


def _drum(time: NDArray[np.float64], rng: Generator) -> Signal:
    if rng.random() < 0.5:
        return np.asarray(np.sin(2 * np.pi * 60 * time * (1 + np.exp(-time * 30))) * np.exp(-time * 12), np.float32)
    return np.asarray(noise(len(time), 0.0, rng) * np.exp(-time * rng.uniform(15, 60)) * 0.3, np.float32)
