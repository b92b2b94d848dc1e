"""Synthetic voices with known phone times, by espeak-ng."""

import ctypes
import json
import subprocess
import sys
import wave
from dataclasses import astuple, dataclass
from itertools import pairwise
from pathlib import Path

import espeakng_loader

from stages.encode.evaluation.phones import Phone

ROOT = Path(__file__).resolve().parents[2]
_SYNCHRONOUS = 2
_PHONEME_EVENTS_IN_IPA = 0b11
_PHONEME = 7
_UTF8 = 1
_RATE = 1
_WORDS_A_MINUTE = 160

ARPABET = {
    "iː": "IY", "i": "IY", "ɪ": "IH", "ᵻ": "IH", "ɛ": "EH", "æ": "AE", "ɑː": "AA", "ɔː": "AO", "ɔ": "AO", "ʊ": "UH",
    "uː": "UW", "ʌ": "AH", "ə": "AH", "ɐ": "AH", "ɚ": "ER", "ɜː": "ER", "aɪ": "AY", "aʊ": "AW", "oʊ": "OW", "eɪ": "EY",
    "ɔɪ": "OY", "p": "P", "b": "B", "m": "M", "f": "F", "v": "V", "w": "W", "ʃ": "SH", "ʒ": "ZH", "tʃ": "CH",
    "dʒ": "JH", "s": "S", "z": "Z", "θ": "TH", "ð": "DH", "ɹ": "R", "t": "T", "ɾ": "D", "d": "D", "n": "N", "l": "L",
    "j": "Y", "k": "K", "ɡ": "G", "ŋ": "NG", "h": "HH", "ʔ": "HH",
}  # fmt: skip

# The nearest sound of English, by the base letter of what is missing in the table above: other languages' sounds.
NEAREST = {
    **dict.fromkeys("aɑɒ", "AA"), **dict.fromkeys("ɐəʌɜɤ", "AH"), **dict.fromkeys("æ", "AE"),
    **dict.fromkeys("eɛøœ", "EH"), **dict.fromkeys("oɔ", "AO"), **dict.fromkeys("iyʏ", "IY"),
    **dict.fromkeys("ɪɨᵻɯ", "IH"), **dict.fromkeys("uʉ", "UW"), **dict.fromkeys("ʊɵ", "UH"), "ɚ": "ER",
    "p": "P", "b": "B", "m": "M", "f": "F", **dict.fromkeys("vʋβ", "V"), **dict.fromkeys("wɥ", "W"),
    **dict.fromkeys("ʃɕʂ", "SH"), **dict.fromkeys("ʒʑʐ", "ZH"), "s": "S", "z": "Z", "θ": "TH", "ð": "DH",
    **dict.fromkeys("rɹɾʁʀɽɻ", "R"), **dict.fromkeys("tʈc", "T"), **dict.fromkeys("dɖɟ", "D"),
    **dict.fromkeys("nɲɳ", "N"), **dict.fromkeys("lɭʎɫ", "L"), "j": "Y", **dict.fromkeys("kqxχ", "K"),
    **dict.fromkeys("ɡgɣ", "G"), "ŋ": "NG", **dict.fromkeys("hɦʔ", "HH"),
}  # fmt: skip
_VOWELS = {"AA", "AH", "AE", "EH", "AO", "IY", "IH", "UW", "UH", "ER"}


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
class Spoken:
    """A recording and its phones; of p, t, k espeak-ng gives the burst, some 40 ms after the lips have met."""

    path: Path
    phones: list[Phone]
    seconds: float


def say(text: str, voice: str, path: Path) -> Spoken:
    """Synthesise speech into a WAV file; ``voice`` names language and variant (``en-us+f2``, ``cmn``).

    In a process of its own: the library keeps state from one call to the next, and equal calls would differ.
    """
    command = [sys.executable, "-m", "tests.evaluation.voices", voice, str(path.absolute())]
    output = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=True).stdout
    seconds, *phones = json.loads(output)
    return Spoken(path, [Phone(*phone) for phone in phones], seconds)


def synthesise(text: str, voice: str, path: Path) -> Spoken:
    """Synthesise speech in this process, as the first call of the library."""
    library, rate = _library()
    samples, events = bytearray(), []

    def take(data: "ctypes._Pointer[ctypes.c_short]", count: int, event: "ctypes._Pointer[_Event]") -> int:
        if data and count > 0:
            samples.extend(ctypes.string_at(data, count * 2))
        index = 0
        while event[index].type:
            if event[index].type == _PHONEME:
                events.append((event[index].sample, event[index].id.string.decode()))
            index += 1
        return 0

    callback = _Callback(take)
    library.espeak_SetSynthCallback(callback)
    assert library.espeak_SetVoiceByName(voice.encode()) == 0, voice
    library.espeak_SetParameter(_RATE, _WORDS_A_MINUTE, 0)
    encoded = text.encode()
    library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(bytes(samples))
    count = len(samples) // 2
    phones = [
        phone
        for (start, name), (end, _) in pairwise([*events, (count, "")])
        for phone in _phones(name.strip("ˈˌ"), start / rate, end / rate)
    ]
    return Spoken(path, phones, count / rate)


def _phones(name: str, start: float, end: float) -> list[Phone]:
    """One event of espeak-ng: one sound, or several vowels and glides that it writes as one."""
    if not name or start >= end:
        return []
    if name in ARPABET:
        return [Phone(ARPABET[name], start, end)]
    letters = [NEAREST[letter] for letter in name if letter in NEAREST]
    if not any(letter in _VOWELS for letter in letters):
        # An affricate or an aspirated stop: its first letter is what the lips do, but ts and tɕ end as a hiss.
        hisses = [letter for letter in letters if letter in ("S", "SH")]
        letters = hisses[:1] or letters[:1]
    length = (end - start) / max(len(letters), 1)
    return [Phone(name, start + n * length, start + (n + 1) * length) for n, name in enumerate(letters)]


def _library() -> tuple[ctypes.CDLL, int]:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    folder = str(espeakng_loader.get_data_path()).encode()
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, folder, _PHONEME_EVENTS_IN_IPA)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # of the breath noise; its default is the time
    return library, rate


if __name__ == "__main__":
    spoken = synthesise(sys.stdin.read(), sys.argv[1], Path(sys.argv[2]))
    print(json.dumps([spoken.seconds, *(astuple(phone) for phone in spoken.phones)]))
