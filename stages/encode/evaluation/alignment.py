"""Forced alignment of a recording with its transcript by pocketsphinx (English), an optional development dependency."""

import re
from types import ModuleType
from typing import Any

import numpy as np

from stages.encode.evaluation.errors import EvaluationError
from stages.encode.evaluation.phones import Phone
from stages.encode.evaluation.sound import RATE, Sound

_HOP_S = 0.01
_LONGEST_S = 1.0
"""Longest sound of fluent speech."""
_PAUSE = "SIL"
_PAUSE_LOUDNESS = 0.5
"""Largest loudness of pauses relative to the whole recording: 0.12 with the right words, from 0.7 with missing ones."""
# Beams this wide keep nearly every hypothesis: with 1e-80 the alignment of two of four synthetic voices failed.
_BEAMS = {"beam": 1e-200, "wbeam": 1e-200, "pbeam": 1e-200}


def words_of(transcript: str) -> list[str]:
    """Lower-case words; hyphens and punctuation separate them, apostrophes are kept."""
    return re.findall(r"[a-z]+(?:'[a-z]+)*", transcript.lower().replace("\u2019", "'"))


def align(speech: Sound, transcript: str) -> list[Phone]:
    """Align the speech with its transcript; returns the phones in order and without gaps.

    Two passes: words, then the phones of their best pronunciation. Raises EvaluationError when pocketsphinx is not
    installed, when its dictionary lacks a word, and when the transcript does not fit the speech.
    """
    words = words_of(transcript)
    if not words:
        raise EvaluationError("the transcript holds no words")
    decoder = _pocketsphinx().Decoder(lm=None, samprate=RATE, loglevel="FATAL", bestpath=False, **_BEAMS)
    unknown = sorted({word for word in words if decoder.lookup_word(word) is None})
    if unknown:
        raise EvaluationError(
            f"the aligner's dictionary lacks {', '.join(unknown)}", "write them as words that sound the same"
        )
    samples = (np.clip(speech, -1, 1) * 32767).astype("<i2").tobytes()
    decoder.set_align_text(" ".join(words))
    _decode(decoder, samples)
    if decoder.hyp() is None:  # a call in the second pass crashes the library
        raise _mismatch()
    decoder.set_alignment()
    _decode(decoder, samples)
    phones = [
        Phone(phone.name, phone.start * _HOP_S, (phone.start + phone.duration) * _HOP_S)
        for word in decoder.get_alignment()
        for phone in word
    ]
    if not _plausible(speech, phones):
        raise _mismatch()
    return phones


def _plausible(speech: Sound, phones: list[Phone]) -> bool:
    """Whether the alignment can be right: with missing words the aligner lengthens phones, or marks speech as pause."""
    pauses = [phone for phone in phones if phone.name == _PAUSE]
    longest = max(phone.end - phone.start for phone in phones if phone.name != _PAUSE)
    quiet = [speech[int(phone.start * RATE) : int(phone.end * RATE)] for phone in pauses]
    loudness = np.sqrt(np.mean(np.square(np.concatenate(quiet)))) if quiet else 0.0
    return bool(longest <= _LONGEST_S and loudness <= _PAUSE_LOUDNESS * np.sqrt(np.mean(np.square(speech))))


def _mismatch() -> EvaluationError:
    return EvaluationError("the transcript does not match the speech", "leave the transcript out, or correct it")


def _decode(decoder: Any, samples: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()


def _pocketsphinx() -> ModuleType:
    try:
        import pocketsphinx
    except ImportError:
        raise EvaluationError(
            "a transcript needs the Python package pocketsphinx, which is not installed",
            "pip install pocketsphinx, or leave the transcript out: the reference is then the energy of the speech",
        ) from None
    module: ModuleType = pocketsphinx
    return module
