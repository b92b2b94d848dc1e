"""Speech is told from what is none, and clean from noisy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.messages.codes import Code
from shared.messages.metadata import AudioMetadata
from stages.audio.activity import NOISY_DB, SpeechActivity, has_speech, signal_to_noise_db
from stages.audio.loudness import rms_dbfs
from stages.encode.evaluation import sound
from tests.audio.test_handler import SPEECH, run
from tests.audio.tones import record
from tests.evaluation.voices import say

RATE = 16_000
Wave = NDArray[np.float32]
TIME = np.arange(8 * RATE) / RATE
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def activity() -> SpeechActivity:
    return SpeechActivity()


@pytest.fixture(scope="module", params=["sample", "en-us", "en-us+m3", "en-us+f2"])
def voice(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Wave:
    if request.param == "sample":
        return sound.load(SPEECH)
    path = tmp_path_factory.mktemp("voice") / "speech.wav"
    text = "The children went to the river on a sunny afternoon. They looked at the boats, and sat in the grass."
    return sound.load(say(text, request.param, path).path)


def chords() -> NDArray[np.float64]:
    t = np.arange(RATE // 4) / RATE
    tones = [262, 330, 392, 440, 523, 587]
    return np.concatenate(
        [sum(np.sin(2 * np.pi * hz * t) for hz in RNG.choice(tones, 3)) * np.exp(-4 * t) for _ in range(32)]
    )


NO_SPEECH = {
    "zeros": 0 * TIME,
    "hiss": RNG.normal(0, 0.1, len(TIME)),
    "hiss that comes and goes": RNG.normal(0, 0.1, len(TIME)) * (1 + np.sin(2 * np.pi * 4 * TIME)),
    "hum": 0.2 * np.sin(2 * np.pi * 100 * TIME),
    "chords": 0.1 * chords(),
}


@pytest.mark.parametrize("name", NO_SPEECH)
def test_no_speech(activity: SpeechActivity, name: str) -> None:
    assert not has_speech(activity.probabilities(NO_SPEECH[name].astype(np.float32)))


def mixed(voice: Wave, decibels: float) -> Wave:
    noise = np.random.default_rng(1).normal(size=len(voice))
    scale = np.sqrt(np.mean(np.square(voice)) / np.mean(np.square(noise))) * 10 ** (-decibels / 20)
    return (voice + noise * scale).astype(np.float32)


def ratio(activity: SpeechActivity, wave: Wave) -> float:
    return signal_to_noise_db(rms_dbfs(wave), activity.probabilities(wave))


def test_clean_voices_are_not_noisy(activity: SpeechActivity, voice: Wave) -> None:
    assert has_speech(activity.probabilities(voice))
    assert ratio(activity, voice) > NOISY_DB + 4


@pytest.mark.parametrize("decibels", [0, 5, 10, 15])
def test_noise_is_measured(activity: SpeechActivity, voice: Wave, decibels: int) -> None:
    assert ratio(activity, mixed(voice, decibels)) == pytest.approx(decibels, abs=1.5)


WORDS = ["no", "morning", "banana", "one"]


@pytest.mark.parametrize("pause_s", [0, 0.1, 0.3])
@pytest.mark.parametrize("word", WORDS)
def test_clean_words_are_not_noisy(activity: SpeechActivity, tmp_path: Path, word: str, pause_s: float) -> None:
    """The quietest tenth of a word without a pause is speech."""
    spoken = np.pad(sound.load(say(word, "en-us", tmp_path / "speech.wav").path), int(pause_s * RATE))
    assert has_speech(activity.probabilities(spoken))
    assert ratio(activity, spoken) > NOISY_DB


@pytest.mark.parametrize("word", WORDS)
def test_noise_around_a_word_is_measured(activity: SpeechActivity, tmp_path: Path, word: str) -> None:
    spoken = np.pad(sound.load(say(word, "en-us", tmp_path / "speech.wav").path), int(0.1 * RATE))
    assert ratio(activity, mixed(spoken, 5)) < NOISY_DB


def test_whispers_and_words(activity: SpeechActivity) -> None:
    """The same speech 34 dB quieter, and six tenths of a second of it."""
    speech = sound.load(SPEECH)
    assert has_speech(activity.probabilities(speech * 0.02))
    assert has_speech(activity.probabilities(speech[: int(0.6 * RATE)]))


def stretches(wave: NDArray[np.floating[Any]], seconds: float) -> list[Wave]:
    """Overlapping by a third."""
    count = int(seconds * RATE)
    return [wave[i : i + count].astype(np.float32) for i in range(0, len(wave) - count + 1, count // 3)]


@pytest.mark.parametrize(("seconds", "lost"), [(0.2, 0.1), (0.4, 0.02)])
def test_the_shortest_speech_keeps_its_mouth(activity: SpeechActivity, seconds: float, lost: float) -> None:
    """0.2 s is the shortest recording that is accepted."""
    parts = stretches(sound.load(SPEECH), seconds)
    power = np.array([np.mean(np.square(part)) for part in parts])
    loud = [part for part, p in zip(parts, power, strict=True) if p > power.max() * 10**-1.5]
    heard = [has_speech(activity.probabilities(part)) for part in loud]
    assert heard.count(False) <= lost * len(heard)


@pytest.mark.parametrize("name", sorted(NO_SPEECH.keys() - {"chords"}))
def test_the_shortest_noise_is_no_speech(activity: SpeechActivity, name: str) -> None:
    for part in stretches(NO_SPEECH[name], 0.2):
        assert not has_speech(activity.probabilities(part))


def test_long_recordings_are_one(activity: SpeechActivity) -> None:
    """The state goes over the 32 s that are looked at in one go."""
    speech = np.tile(sound.load(SPEECH), 4)
    whole = activity.probabilities(speech)
    assert len(whole) == -(-len(speech) // 512)
    assert np.count_nonzero(whole[990:1010] > 0.5) > 10


@pytest.mark.parametrize(
    ("decibels", "codes"), [(20, []), (5, [Code.NOISY_AUDIO]), (None, [Code.NO_SPEECH])], ids=["clean", "noisy", "none"]
)
def test_warnings_of_the_stage(tmp_path: Path, decibels: float | None, codes: list[Code]) -> None:
    wave = NO_SPEECH["hiss"] if decibels is None else mixed(sound.load(SPEECH), decibels)
    path = record(
        tmp_path / "s",
        np.clip(wave, -1, 1).astype(np.float32)[None],
        RATE,
        container="wav",
        codec="pcm_s16le",
        sample_format="s16",
    )
    harness, _, metadata = run(tmp_path, path)
    assert isinstance(metadata, AudioMetadata)
    assert [code for code, _ in harness.warnings] == codes
    assert metadata.speech == (decibels is not None)
