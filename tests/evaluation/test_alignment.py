"""Forced alignment, where pocketsphinx is installed, and what is said where it is not."""

import sys

import pytest

from stages.encode.evaluation import alignment
from stages.encode.evaluation.errors import EvaluationError
from stages.encode.evaluation.phones import Phone
from stages.encode.evaluation.sound import Sound
from tests.infer.conftest import SAMPLES

TRANSCRIPT = (SAMPLES / "speech.txt").read_text()


def test_words() -> None:
    assert alignment.words_of("He\u2019s an ill-disposed man, Mr. X!") == [
        "he's",
        "an",
        "ill",
        "disposed",
        "man",
        "mr",
        "x",
    ]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, speech: Sound) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(EvaluationError, match="pocketsphinx, which is not installed") as raised:
        alignment.align(speech, TRANSCRIPT)
    assert "pip install pocketsphinx" in (raised.value.hint or "")


def test_the_committed_alignment_is_what_it_gives(speech: Sound, aligned: list[Phone]) -> None:
    pytest.importorskip("pocketsphinx")
    found = alignment.align(speech, TRANSCRIPT)
    assert [phone.name for phone in found] == [phone.name for phone in aligned]
    assert all(abs(a.start - b.start) < 0.03 for a, b in zip(found, aligned, strict=True))


@pytest.mark.parametrize(
    ("transcript", "words"),
    [
        ("The cat sat on the mat.", "does not match"),
        ("And Mister John Dashwood had then leisure", "does not match"),
        ("And Mr. John Dashwoodish had then leisure", "lacks dashwoodish"),
        ("1811?", "no words"),
    ],
)
def test_a_transcript_that_does_not_fit(speech: Sound, transcript: str, words: str) -> None:
    pytest.importorskip("pocketsphinx")
    with pytest.raises(EvaluationError, match=words):
        alignment.align(speech, transcript)
