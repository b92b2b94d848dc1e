"""The synthetic corpus: languages, voices and texts, drawn with one seed; and what is held out of training."""

from collections.abc import Iterator
from dataclasses import dataclass

from faker import Faker

from tools.train_visemes import espeak
from tools.train_visemes.espeak import Voice
from tools.train_visemes.flite import VOICES as FLITE_VOICES
from tools.train_visemes.flite import Flite
from tools.train_visemes.signal import RATE, Generator, Signal, vibrato
from tools.train_visemes.sounds import Labels, labels

# espeak-ng's voice -> the locale of Faker whose words, or names of people, it speaks.
WORDS = {
    "ar": "ar_AA", "az": "az_AZ", "bn": "bn_BD", "cs": "cs_CZ", "da": "da_DK", "de": "de_DE", "el": "el_GR",
    "en-us": "en_US", "en-gb-scotland": "en_US", "en-gb-x-rp": "en_US", "en-029": "en_US",
    "es": "es_ES", "es-419": "es_MX", "fa": "fa_IR", "fr": "fr_FR", "fr-be": "fr_FR", "hy": "hy_AM", "it": "it_IT",
    "la": "la", "mk": "mk_MK", "nl": "nl_NL", "ru": "ru_RU", "uk": "uk_UA", "vi": "vi_VN",
}  # fmt: skip
NAMES = {
    "bg": "bg_BG", "et": "et_EE", "fi": "fi_FI", "hr": "hr_HR", "hu": "hu_HU", "id": "id_ID", "is": "is_IS",
    "ka": "ka_GE", "lt": "lt_LT", "lv": "lv_LV", "nb": "no_NO", "ne": "ne_NP", "pt": "pt_PT", "pt-br": "pt_BR",
    "ro": "ro_RO", "sk": "sk_SK", "sl": "sl_SI", "sv": "sv_SE", "sw": "sw", "ta": "ta_IN", "uz": "uz_UZ",
}  # fmt: skip
HELD_OUT_LANGUAGES = ("cmn", "hi", "ja", "ko", "pl", "tr")
_ENGLISH_TIMES = 3
VARIANTS = (
    "", "m1", "m2", "m3", "m4", "m5", "m6", "m8", "f1", "f3", "f5", "klatt", "klatt2", "klatt4", "steph", "travis",
    "linda", "adam", "michael", "belinda", "aunty", "grandma", "caleb", "antonio",
)  # fmt: skip
HELD_OUT_VARIANTS = ("m7", "f2", "f4", "klatt3")
HELD_OUT_FLITE = "rms"
_WORDS = (3, 14)
_COMMAS = 0.12
_SUNG_SHARE = 0.06


@dataclass(frozen=True)
class Utterance:
    """One recording with its labels."""

    signal: Signal
    labels: Labels

    @property
    def seconds(self) -> float:
        return len(self.signal) / RATE


def synthetic(per_language: int, rng: Generator) -> Iterator[Utterance]:
    """``per_language`` sentences in each language by espeak-ng, three times as many in English, in random voices."""
    for language, locale in (WORDS | NAMES).items():
        texts = Texts(locale, rng, names=language in NAMES)
        for _ in range(per_language * (_ENGLISH_TIMES if language == "en-us" else 1)):
            sung = rng.random() < _SUNG_SHARE
            variant = VARIANTS[rng.integers(len(VARIANTS))]
            speed = 80 if sung else int(rng.integers(110, 260))
            voice = Voice(language, variant, speed, int(rng.integers(15, 86)), 0 if sung else int(rng.integers(20, 81)))
            signal, sounds = espeak.speak(texts.sentence(), voice)
            if not len(signal):
                continue
            if sung:
                signal = vibrato(signal, float(rng.uniform(4.5, 6.5)), float(rng.uniform(0.01, 0.04)))
            yield Utterance(signal, labels(sounds, len(signal) / RATE))


def recorded_voices(flite: Flite, per_voice: int, rng: Generator) -> Iterator[Utterance]:
    """``per_voice`` English sentences by each of flite's voices that is not held out."""
    texts = Texts("en_US", rng)
    for voice in (voice for voice in FLITE_VOICES if voice != HELD_OUT_FLITE):
        for _ in range(per_voice):
            signal, sounds = flite.speak(texts.sentence(), voice, float(rng.uniform(0.75, 1.3)))
            yield Utterance(signal, labels(sounds, len(signal) / RATE))


class Texts:
    """Sentences of Faker's words or names in one locale: meaningless, with the language's sounds and spelling."""

    def __init__(self, locale: str, rng: Generator, names: bool = False) -> None:
        self._faker = Faker(locale)
        self._faker.seed_instance(int(rng.integers(2**31)))
        self._rng, self._names = rng, names

    def sentence(self) -> str:
        """3 to 13 words, with occasional commas."""
        count = int(self._rng.integers(*_WORDS))
        words = self._faker.words(count) if not self._names else [self._name() for _ in range(count)]
        punctuated = [word + ("," if self._rng.random() < _COMMAS else "") for word in words[:-1]]
        return " ".join([*punctuated, words[-1]]) + ".?!"[int(self._rng.integers(3))]

    def _name(self) -> str:
        return str(self._faker.first_name() if self._rng.random() < 0.5 else self._faker.last_name())
