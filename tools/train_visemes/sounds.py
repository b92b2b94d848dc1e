"""The mouth of each sound: maps IPA symbols to viseme classes and to an opening over time.

Openings follow the height of vowels in the IPA chart and the place of consonants. Sounds overlap by dominance (Cohen
and Massaro 1993): sounds made with the lips outweigh those made with the tongue.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.infer.puppet.visemes import CLASSES, RATE, SILENCE

FINE = 4
"""Steps per frame at which the opening is drawn before it is smoothed."""
SPREAD_S = 0.035
_BOUNDARIES = {0: (), 1: (0.0, 1.0), 2: (0.0, 0.55, 1.0), 3: (0.0, 0.3, 0.7, 1.0)}
"""Boundaries of the vowels in a diphthong or triphthong, as shares of its duration."""

#           class, dominance, opening, symbols
_TABLE = (
    ("PBM", 4.0, 0.00, "pbmɓʙɱ"),
    ("FV", 3.0, 0.10, "fvʋⱱɸβ"),
    ("W", 1.6, 0.10, "wɥʍ"),
    ("SH", 1.6, 0.20, "ʃʒɕʑʂʐɧ"),
    ("SZ", 1.0, 0.15, "sz"),
    ("TH", 1.0, 0.20, "θð"),
    ("R", 0.8, 0.20, "ɹɻʁʀɺ"),
    ("TDNL", 0.6, 0.20, "tdnlɾɗʈɖɳɭɫɬɮrɽ"),
    ("KGH", 0.4, 0.30, "kɡgŋxɣqɢχħʕhɦʔɴʛɠcɟɲʎçʝ"),
    ("I", 0.6, 0.25, "j"),
)
_VOWELS = (
    ("A", 1.00, "aɑɶ"), ("A", 0.90, "æ"), ("O", 0.75, "ɒ"), ("AH", 0.60, "ɐʌ"),
    ("E", 0.65, "ɛ"), ("O", 0.60, "ɔ"), ("O", 0.50, "œɞ"), ("AH", 0.50, "ɜ"),
    ("E", 0.45, "eɘ"), ("O", 0.45, "o"), ("AH", 0.45, "əɤ"), ("O", 0.35, "øɵ"),
    ("I", 0.35, "ɪᵻ"), ("W", 0.30, "ʊᵿʏ"), ("R", 0.30, "ɚɝ"),
    ("I", 0.25, "iɨ"), ("W", 0.25, "ɯ"), ("W", 0.15, "uyʉ"),
)  # fmt: skip
_REST = (SILENCE, 0.6, 0.0)
_SHAPES = {s: (CLASSES.index(c), d, o) for c, d, o, symbols in _TABLE for s in symbols}
_SHAPES |= {s: (CLASSES.index(c), 1.0, o) for c, o, symbols in _VOWELS for s in symbols}
_VOWEL_SYMBOLS = frozenset(s for _, _, symbols in _VOWELS for s in symbols)
_GLIDES_INTO = _VOWEL_SYMBOLS | {"ɹ"}
_AFFRICATES = {"tʃ": "ʃ", "dʒ": "ʒ", "tɕ": "ɕ", "dʑ": "ʑ", "tʂ": "ʂ", "dʐ": "ʐ", "ts": "s", "dz": "z"}
_LIPS = frozenset(CLASSES.index(name) for name in ("PBM", "FV"))


@dataclass
class Sound:
    """One spoken sound: an IPA symbol, "" for a pause; start and end in seconds."""

    symbol: str
    start: float
    end: float


@dataclass(frozen=True)
class Labels:
    """The mouth, RATE values per second: ``classes`` [T] int8, indices of CLASSES; ``opening`` [T] float32 0..1."""

    classes: NDArray[np.int8]
    opening: NDArray[np.float32]


def parts(symbol: str) -> list[str]:
    """The table's symbols in one sound of a synthesiser: several for a diphthong, none if unknown."""
    for spelling, stands_for in _AFFRICATES.items():
        if symbol.startswith(spelling):
            return [stands_for]
    known = [s for s in unicodedata.normalize("NFD", symbol) if s in _SHAPES]
    glides = len(known) > 1 and known[0] in _VOWEL_SYMBOLS and all(s in _GLIDES_INTO for s in known[1:3])
    return known[: 3 if glides else 1]


def spans(sound: Sound) -> list[tuple[str, float, float]]:
    """The symbols of one sound with their starts and ends; none for a pause."""
    symbols = parts(sound.symbol)
    edges = [sound.start + share * (sound.end - sound.start) for share in _BOUNDARIES[len(symbols)]]
    return list(zip(symbols, edges, edges[1:], strict=False))


def labels(sounds: Sequence[Sound], duration: float) -> Labels:
    """Label a recording of ``duration`` seconds; time without a sound is silence."""
    count = int(duration * RATE)
    classes = np.full(count, SILENCE, np.int8)
    fine = RATE * FINE
    dominance = np.full(count * FINE, _REST[1])
    opening = np.full(count * FINE, _REST[2])
    for sound in sounds:
        for symbol, start, end in spans(sound):
            shape = _SHAPES[symbol]
            first, last = round(start * RATE), round(end * RATE)
            if shape[0] in _LIPS:  # even a short one closes the lips
                last = max(last, first + 1)
            classes[first:last] = shape[0]
            part = slice(round(start * fine), round(end * fine))
            dominance[part], opening[part] = shape[1], shape[2]
    spread = _gaussian(SPREAD_S * fine)
    curve = _convolve(dominance * opening, spread) / _convolve(dominance, spread)
    return Labels(classes, curve.reshape(count, FINE).mean(axis=1).astype(np.float32))


def _gaussian(sigma: float) -> NDArray[np.float64]:
    reach = int(4 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(kernel / kernel.sum(), np.float64)


def _convolve(track: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.convolve(np.pad(track, len(kernel) // 2, mode="edge"), kernel, "valid")
