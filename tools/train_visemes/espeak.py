"""Synthesises speech with the times of its sounds, by espeak-ng of the package ``espeakng-loader``."""

import ctypes
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import espeakng_loader
import numpy as np

from tools.train_visemes.signal import RATE, Signal, from_pcm, resample
from tools.train_visemes.sounds import Sound, parts

# speak_lib.h
_SYNCHRONOUS = 2
_PHONEME_EVENTS_IN_IPA = 0b11
_PHONEME = 7
_UTF8 = 1
_WORDS_A_MINUTE, _PITCH, _RANGE = 1, 3, 4

_SEED = 1
_QUIET = 0.01
"""Level of a stop's closure, as a share of the peak."""
_LONGEST_CLOSURE_S = 0.09
_SHORTEST_CLOSURE_S = 0.012
_KEEP_S = 0.02
_MARK_LATE_S = 0.015
"""Longest part of the burst before its mark."""
_SHORTEST_PAUSE_S = 0.05
_ENVELOPE_S = 0.005
_STOPS = frozenset("pbmtdkɡgqcʃsʈɖ")


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Voice:
    """A language, a timbre variant ("" for the default), speed in words per minute, pitch and range 0..99."""

    language: str
    variant: str = ""
    speed: int = 160
    pitch: int = 50
    range: int = 50

    @property
    def name(self) -> str:
        """The name for espeak-ng."""
        return f"{self.language}+{self.variant}" if self.variant else self.language


def speak(text: str, voice: Voice) -> tuple[Signal, list[Sound]]:
    """The speech at 16 kHz and its sounds in order. Raises ValueError for an unknown voice.

    Equal sentences in equal order give equal bytes in every process, except with the variant caleb; earlier sentences
    change the breath noise.
    """
    library, rate = _library()
    samples, events = bytearray(), []

    def take(data: "ctypes._Pointer[ctypes.c_short]", count: int, event: "ctypes._Pointer[_Event]") -> int:
        if data and count > 0:
            samples.extend(ctypes.string_at(data, count * 2))
        index = 0
        while event[index].type:
            if event[index].type == _PHONEME:
                events.append((event[index].sample / rate, event[index].id.string.decode(errors="ignore")))
            index += 1
        return 0

    callback = _Callback(take)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
        raise ValueError(f"espeak-ng has no voice {voice.name}")
    for parameter, value in ((_WORDS_A_MINUTE, voice.speed), (_PITCH, voice.pitch), (_RANGE, voice.range)):
        library.espeak_SetParameter(parameter, value, 0)
    encoded = text.encode()
    library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    signal = from_pcm(bytes(samples))
    # A name in brackets marks a change of the language.
    phones = [event for event in events if not event[1].startswith("(")]
    ends = [*phones, (len(signal) / rate, "")]
    sounds: list[Sound] = []
    for (start, name), (end, _) in pairwise(ends):
        symbol = name.strip("ˈˌ")
        if sounds and ((symbol and not parts(symbol)) or (not symbol and end - start < _SHORTEST_PAUSE_S)):
            sounds[-1].end = end  # length, palatalisation, the opening of a stop
        elif end > start:
            sounds.append(Sound(symbol, start, end))
    signal = resample(signal, rate, RATE)
    _move_to_closures(sounds, signal)
    return signal, sounds


def _move_to_closures(sounds: list[Sound], signal: Signal) -> None:
    """Move the start of stops to their closures: espeak-ng marks a stop at its burst."""
    width = int(_ENVELOPE_S * RATE)
    envelope = np.sqrt(np.convolve(signal.astype(np.float64) ** 2, np.ones(width) / width, "same"))
    quiet = envelope < _QUIET * np.abs(signal).max()
    for before, stop in pairwise(sounds):
        if not (parts(before.symbol) and stop.symbol[:1] in _STOPS):
            continue
        burst = int(stop.start * RATE)
        first = max(int((before.start + _KEEP_S) * RATE), burst - int(_LONGEST_CLOSURE_S * RATE))
        silent = np.flatnonzero(quiet[first:burst])
        if not len(silent) or burst - first - silent[-1] > _MARK_LATE_S * RATE:
            continue
        loud = np.flatnonzero(~quiet[first : first + silent[-1]])
        closure = (first + int(loud[-1]) + 1 if len(loud) else first) / RATE
        if stop.start - closure > _SHORTEST_CLOSURE_S:
            before.end = stop.start = closure


@cache
def _library() -> tuple[ctypes.CDLL, int]:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    folder = str(espeakng_loader.get_data_path()).encode()
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, folder, _PHONEME_EVENTS_IN_IPA)
    library.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))  # of the breath noise; its default is the time
    return library, rate
