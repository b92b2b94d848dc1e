"""The training of the viseme head, in small."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shared.slot.weights import read_weights
from stages.infer.puppet.visemes import CLASSES, RATE, SILENCE, WEIGHTS
from tools.train_visemes import network, training
from tools.train_visemes.__main__ import save
from tools.train_visemes.augment import augment
from tools.train_visemes.corpus import HELD_OUT_LANGUAGES, HELD_OUT_VARIANTS, NAMES, VARIANTS, WORDS, Texts, Utterance
from tools.train_visemes.espeak import Voice, speak
from tools.train_visemes.features import Encoder, Example, examples
from tools.train_visemes.negatives import negatives
from tools.train_visemes.signal import RATE as SAMPLES
from tools.train_visemes.signal import mix, noise, resample, rms, telephone
from tools.train_visemes.sounds import Sound, labels, parts, spans

TEXTS = ("My baby popped a map.", "Five very thin moths flew over the bay.", "She sees all of the old houses.")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(read_weights(WEIGHTS, "visemes.onnx"))


@pytest.fixture(scope="module")
def few(encoder: Encoder) -> list[Example]:
    """Some ten seconds."""
    spoken = [speak(text, Voice("en-us", variant)) for text, variant in zip(TEXTS, ("", "f3", "m2"), strict=True)]
    signals = [(signal, labels(sounds, len(signal) / SAMPLES)) for signal, sounds in spoken]
    rng = np.random.default_rng(0)
    silent = [(s, labels([], len(s) / SAMPLES)) for _, s in negatives(2, [signals[0][0]], rng)]
    return list(examples(signals + silent, encoder))


@pytest.mark.slow
def test_training_learns_and_repeats_itself(few: list[Example], tmp_path: Path) -> None:
    first, second = (training.train(few, 40, seed=3) for _ in range(2))
    assert np.mean(first.losses[-5:]) < 0.5 * np.mean(first.losses[:5])
    for trained, name in ((first, "a.npz"), (second, "b.npz")):
        save(trained.parameters, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    other = training.train(few, 40, seed=4)
    assert not np.array_equal(other.parameters["l.weight"], first.parameters["l.weight"])


def test_nothing_to_train_on() -> None:
    with pytest.raises(ValueError, match="nothing"):
        training.train([], 1, 0)


def test_gradients_are_those_of_the_loss() -> None:
    """Against differences, in double precision."""
    rng = np.random.default_rng(0)
    p = {name: value.astype(np.float64) for name, value in network.initialise(24, rng).items()}
    x = rng.standard_normal((2, 12, 24))
    classes, opening = rng.integers(0, len(CLASSES), (2, 12)).astype(np.int8), rng.random((2, 12))
    valid = np.ones((2, 12))
    valid[1, 9:] = 0
    weights = rng.random(len(CLASSES)) + 0.5

    def value() -> float:
        return training.loss(network.forward(p, x).outputs, classes, opening, valid, weights)[0]  # type: ignore[arg-type]

    done = network.forward(p, x)  # type: ignore[arg-type]
    _, slope = training.loss(done.outputs, classes, opening, valid, weights)  # type: ignore[arg-type]
    grads = network.backward(p, done, slope)  # type: ignore[arg-type]
    for name, parameter in p.items():
        index = tuple(int(rng.integers(size)) for size in parameter.shape)
        kept, step = parameter[index], 1e-3
        parameter[index] = kept + step
        above = value()
        parameter[index] = kept - step
        below = value()
        parameter[index] = kept
        assert grads[name][index] == pytest.approx((above - below) / (2 * step), rel=0.1, abs=2e-4), name


def test_sounds_of_a_word() -> None:
    """Open and closed where they belong."""
    found = labels([Sound("m", 0.2, 0.3), Sound("aɪ", 0.3, 0.6), Sound("", 0.6, 0.8)], 0.8)
    assert [CLASSES[c] for c in found.classes[[0, 12, 18, 28, 35]]] == ["sil", "PBM", "A", "I", "sil"]
    assert found.opening[12] < 0.1 and found.opening[19] > 0.8 and found.opening[27] < 0.5 and found.opening[38] < 0.05


def test_spellings_of_synthesisers() -> None:
    assert parts("tʃ") == ["ʃ"] and parts("ts") == ["s"] and parts("oʊ") == ["o", "ʊ"] and parts("ä") == ["a"]
    assert parts("iɑu") == ["i", "ɑ", "u"] and parts("ɛɹ") == ["ɛ", "ɹ"] and parts("kʲ") == ["k"] and parts("ː") == []
    assert spans(Sound("oʊ", 1.0, 2.0)) == [("o", 1.0, 1.55), ("ʊ", 1.55, 2.0)]


def test_a_stop_begins_with_its_closure() -> None:
    signal, sounds = speak("a papa", Voice("en-us"))
    stops = [sound for sound in sounds if sound.symbol == "p"]
    assert len(stops) == 2
    for stop in stops:
        inside = signal[int((stop.start + 0.005) * SAMPLES) : int((stop.start + 0.025) * SAMPLES)]
        assert rms(inside) < 0.01 * np.abs(signal).max()


def test_same_sentences_same_bytes() -> None:
    """In every process, if in the same order."""
    said = [(text, Voice("en-us", variant)) for text in TEXTS for variant in ("f3", "klatt4")]
    program = f"""
import hashlib
from tools.train_visemes.espeak import Voice, speak
print(hashlib.sha256(b"".join(speak(text, voice)[0].tobytes() for text, voice in {said!r})).hexdigest())
"""
    command = [sys.executable, "-c", program]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first == second and len(first.strip()) == 64


def test_a_voice_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="no voice xx"):
        speak("a", Voice("xx"))


def test_nothing_that_is_held_out_is_spoken() -> None:
    assert not set(HELD_OUT_LANGUAGES) & set(WORDS | NAMES)
    assert not set(HELD_OUT_VARIANTS) & set(VARIANTS)


def test_texts_follow_the_seed() -> None:
    first, again = (Texts("it_IT", np.random.default_rng(5)).sentence() for _ in range(2))
    assert first == again and first[-1] in ".?!"


def test_change_keeps_labels_in_step() -> None:
    """A beep whose place is known stays under its label."""
    signal = np.full(2 * SAMPLES, 1e-4, np.float32)
    signal[SAMPLES : SAMPLES * 3 // 2] = np.sin(np.arange(SAMPLES // 2) / 5) / 2
    known = labels([Sound("a", 1.0, 1.5)], 2.0)
    for seed in range(8):
        after = augment(Utterance(signal, known), np.random.default_rng(seed))
        loud = np.abs(after.signal[: len(after.labels.classes) * 320]).reshape(-1, 320).max(axis=1)
        assert len(loud) == len(after.labels.classes) == len(after.labels.opening)
        assert np.corrcoef(loud, after.labels.classes != SILENCE)[0, 1] > 0.7, seed


def test_signals() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(SAMPLES) / SAMPLES).astype(np.float32)
    assert len(resample(tone, 16_000, 8_000)) == 8_000
    low = np.sin(2 * np.pi * 100 * np.arange(SAMPLES) / SAMPLES).astype(np.float32)
    assert rms(telephone(tone + low)) == pytest.approx(rms(tone), rel=0.05)
    hiss = mix(tone, noise(SAMPLES, 1.0, np.random.default_rng(0)), 10.0) - tone
    assert 20 * np.log10(rms(tone) / rms(hiss)) == pytest.approx(10, abs=0.1)


def test_stretches_are_at_most_ten_seconds(encoder: Encoder) -> None:
    piece = (np.zeros(3 * SAMPLES, np.float32), labels([], 3.0))
    found = list(examples([piece] * 4, encoder))
    assert [len(example.classes) for example in found] == [9 * RATE, 3 * RATE]
    assert all(len(e.features) == len(e.classes) == len(e.opening) for e in found)
