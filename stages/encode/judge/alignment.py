"""Forced alignment of a recording with its transcript by pocketsphinx (English), an optional development dependency."""

import re
from types import ModuleType
from typing import Any

import numpy as np

from stages.encode.judge.errors import Unjudgeable
from stages.encode.judge.phones import Phone
from stages.encode.judge.sound import RATE, Sound

_HOP_S = 0.01
_LONGEST_S = 1.0
"""No sound of fluent speech lasts longer."""
_PAUSE = "SIL"
_PAUSE_LOUDNESS = 0.5
"""Of pauses against the whole recording: 0.12 where the words fit, 0.7 and more where they are not all that is said."""
# Nearly everything is followed up: with beams of 1e-80 two of four synthetic voices were not understood.
_BEAMS = {"beam": 1e-200, "wbeam": 1e-200, "pbeam": 1e-200}


def words_of(transcript: str) -> list[str]:
    """Lower-case words; hyphens and punctuation part them, apostrophes stay."""
    return re.findall(r"[a-z]+(?:'[a-z]+)*", transcript.lower().replace("\u2019", "'"))


def align(speech: Sound, transcript: str) -> list[Phone]:
    """The phones that were spoken, in order and without gaps.

    Two passes: words, then the sounds of their best pronunciation. Raises Unjudgeable without pocketsphinx, for words
    that its dictionary lacks, and when the speech does not say the transcript.
    """
    words = words_of(transcript)
    if not words:
        raise Unjudgeable("the transcript holds no words")
    decoder = _pocketsphinx().Decoder(lm=None, samprate=RATE, loglevel="FATAL", bestpath=False, **_BEAMS)
    unknown = sorted({word for word in words if decoder.lookup_word(word) is None})
    if unknown:
        raise Unjudgeable(
            f"the aligner's dictionary lacks {', '.join(unknown)}", "write them as words that sound the same"
        )
    samples = (np.clip(speech, -1, 1) * 32767).astype("<i2").tobytes()
    decoder.set_align_text(" ".join(words))
    _hear(decoder, samples)
    if decoder.hyp() is None:  # asked in the second pass, the library crashes
        raise _other_words()
    decoder.set_alignment()
    _hear(decoder, samples)
    phones = [
        Phone(phone.name, phone.start * _HOP_S, (phone.start + phone.duration) * _HOP_S)
        for word in decoder.get_alignment()
        for phone in word
    ]
    if not _plausible(speech, phones):
        raise _other_words()
    return phones


def _plausible(speech: Sound, phones: list[Phone]) -> bool:
    """The aligner never refuses: words too few are stretched, or the rest of the speech is called a pause."""
    pauses = [phone for phone in phones if phone.name == _PAUSE]
    longest = max(phone.end - phone.start for phone in phones if phone.name != _PAUSE)
    quiet = [speech[int(phone.start * RATE) : int(phone.end * RATE)] for phone in pauses]
    loudness = np.sqrt(np.mean(np.square(np.concatenate(quiet)))) if quiet else 0.0
    return bool(longest <= _LONGEST_S and loudness <= _PAUSE_LOUDNESS * np.sqrt(np.mean(np.square(speech))))


def _other_words() -> Unjudgeable:
    return Unjudgeable("the speech does not say the transcript", "leave the transcript out, or correct it")


def _hear(decoder: Any, samples: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()


def _pocketsphinx() -> ModuleType:
    try:
        import pocketsphinx
    except ImportError:
        raise Unjudgeable(
            "a transcript needs the Python package pocketsphinx, which is not installed",
            "pip install pocketsphinx, or leave the transcript out: the energy of the speech is the reference then",
        ) from None
    module: ModuleType = pocketsphinx
    return module
