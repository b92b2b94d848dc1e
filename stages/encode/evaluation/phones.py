"""The expected mouth opening from phones with their times.

Openings follow the height of vowels in the IPA chart and the place of consonants. Co-articulation uses dominance (Cohen
and Massaro 1993): sounds made with the lips outweigh those made with the tongue.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.encode.evaluation.reference import MIN_SILENCE_S, RATE, Interval, Reference, runs
from stages.encode.evaluation.smoothing import smooth

_SPREAD_S = 0.035
_GLIDE = 0.55
"""Share of a diphthong after which the opening is the second vowel's."""
_VOWELS: dict[str, tuple[float, ...]] = {
    "AA": (1.0,), "AE": (0.9,), "AO": (0.6,), "EH": (0.65,), "AH": (0.5,), "ER": (0.3,), "IH": (0.35,), "IY": (0.25,),
    "UH": (0.3,), "UW": (0.15,), "EY": (0.5, 0.3), "AY": (0.95, 0.3), "AW": (0.95, 0.2), "OW": (0.5, 0.2),
    "OY": (0.55, 0.3),
}  # fmt: skip
_OPEN_VOWELS = {"AA", "AE", "EH", "AY", "AW"}
_CLOSURES = {"P", "B", "M"}
#                    dominance, opening
_CONSONANTS: dict[str, tuple[float, float]] = {
    "P": (4.0, 0.0), "B": (4.0, 0.0), "M": (4.0, 0.0),
    "F": (3.0, 0.1), "V": (3.0, 0.1), "W": (1.6, 0.1),
    "SH": (1.6, 0.2), "ZH": (1.6, 0.2), "CH": (1.6, 0.2), "JH": (1.6, 0.2),
    "S": (1.0, 0.15), "Z": (1.0, 0.15), "TH": (1.0, 0.2), "DH": (1.0, 0.2), "R": (0.8, 0.2),
    "T": (0.6, 0.2), "D": (0.6, 0.2), "N": (0.6, 0.2), "L": (0.6, 0.2), "Y": (0.6, 0.25),
    "K": (0.4, 0.3), "G": (0.4, 0.3), "NG": (0.4, 0.3), "HH": (0.4, 0.3),
}  # fmt: skip
_REST = (0.6, 0.0)


@dataclass(frozen=True, slots=True)
class Phone:
    """A sound of American English in ARPAbet without stress (``AA``, ``P``); ``start``, ``end`` in s."""

    name: str
    start: float
    end: float


def expected(phones: Sequence[Phone], duration: float) -> Reference:
    """The reference of an alignment over ``duration`` seconds.

    Time without a phone, and phones of other names (``SIL``), count as silence.
    """
    count = int(duration * RATE)
    dominance, opening = np.full(count, _REST[0]), np.full(count, _REST[1])
    has_sound = np.zeros(count, np.bool_)
    for phone in phones:
        start, end = round(phone.start * RATE), round(phone.end * RATE)
        if phone.name in _VOWELS:
            targets = _VOWELS[phone.name]
            glide = start + round(_GLIDE * (end - start))
            dominance[start:end], opening[start:glide], opening[glide:end] = 1.0, targets[0], targets[-1]
        elif phone.name in _CONSONANTS:
            dominance[start:end], opening[start:end] = _CONSONANTS[phone.name]
        else:
            continue
        has_sound[start:end] = True
    sigma = _SPREAD_S * RATE
    return Reference(
        kind="alignment",
        opening=smooth(dominance * opening, sigma) / smooth(dominance, sigma),
        silences=runs(~has_sound, RATE, MIN_SILENCE_S),
        closures=tuple(Interval(p.start, p.end) for p in phones if p.name in _CLOSURES),
        vowels=tuple(Interval(p.start, p.end) for p in phones if p.name in _OPEN_VOWELS),
    )
