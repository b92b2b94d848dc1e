"""The shipped network on what is no speech, on a telephone line, and on voices that it was not trained on."""

from collections.abc import Callable

import numpy as np
import pytest

from stages.infer.engine import Speech
from stages.infer.puppet.visemes import VisemeModel
from tools.train_visemes import corpus, scores
from tools.train_visemes.espeak import Voice, speak
from tools.train_visemes.negatives import crowd, music
from tools.train_visemes.signal import RATE, Generator, Signal, mix, noise, telephone

SECONDS = 6
MANDARIN = "今天早上我们去了公园，看见很多孩子在湖边玩。天气非常好，大家都很高兴。"


@pytest.fixture(scope="module")
def model() -> VisemeModel:
    return VisemeModel()


def white(rng: Generator) -> Signal:
    return noise(SECONDS * RATE, 0.0, rng) * np.float32(0.05)


def pink(rng: Generator) -> Signal:
    return noise(SECONDS * RATE, 1.0, rng) * np.float32(0.05)


def chords(rng: Generator) -> Signal:
    return music(SECONDS * RATE, rng)


def silence(rng: Generator) -> Signal:
    return np.zeros(SECONDS * RATE, np.float32)


def babble(rng: Generator) -> Signal:
    voices = [speak("Many people talk at the same time in a large room.", Voice("en-us", v))[0] for v in ("f2", "m7")]
    return crowd(SECONDS * RATE, voices, rng)


@pytest.mark.parametrize("sound", [silence, white, pink, chords, babble])
@pytest.mark.parametrize("seed", [100, 101])
def test_mouth_stays_closed_without_speech(model: VisemeModel, sound: Callable[[Generator], Signal], seed: int) -> None:
    opening = scores.openings(sound(np.random.default_rng(seed)), model)
    assert np.mean(opening < 0.1) >= 0.9


def test_telephone_speech_moves_the_mouth(model: VisemeModel, speech: Speech) -> None:
    """Half the band and 8 bits change the movement little."""
    wide, narrow = (scores.openings(signal, model) for signal in (speech.pcm, telephone(speech.pcm)))
    assert np.corrcoef(wide, narrow)[0, 1] > 0.85


def test_noisy_speech_moves_the_mouth(model: VisemeModel, speech: Speech) -> None:
    noisy = mix(speech.pcm, noise(len(speech.pcm), 1.0, np.random.default_rng(0)), 10.0)
    clean, under = (scores.openings(signal, model) for signal in (speech.pcm, noisy))
    assert np.corrcoef(clean, under)[0, 1] > 0.85


def test_quiet_recording_moves_the_mouth(model: VisemeModel, speech: Speech) -> None:
    loud, quiet = (scores.openings(signal, model) for signal in (speech.pcm, speech.pcm * np.float32(0.02)))
    assert np.corrcoef(loud, quiet)[0, 1] > 0.9


@pytest.mark.parametrize("variant", corpus.HELD_OUT_VARIANTS)
def test_language_outside_the_training_is_in_sync(model: VisemeModel, variant: str) -> None:
    assert "cmn" in corpus.HELD_OUT_LANGUAGES
    signal, sounds = speak(MANDARIN, Voice("cmn", variant))
    score = scores.score("cmn", signal, scores.arpabet_phones(sounds), model)
    assert score.sync_r is not None and score.sync_r >= 0.75
    assert score.offset_ms is not None and abs(score.offset_ms) <= 30
