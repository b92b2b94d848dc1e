"""Forced alignment with pocketsphinx, and the error without it."""

import sys

import pytest

from stages.encode.evaluation import alignment
from stages.encode.evaluation.errors import EvaluationError
from stages.encode.evaluation.phones import Phone
from stages.encode.evaluation.sound import Sound
from tests.infer.conftest import SAMPLES

TRANSCRIPT = (SAMPLES / "speech.txt").read_text()


def test_words_of_a_transcript() -> None:
    assert alignment.words_of("He\u2019s an ill-disposed man, Mr. X!") == [
        "he's",
        "an",
        "ill",
        "disposed",
        "man",
        "mr",
        "x",
    ]


def test_missing_package_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch, speech: Sound) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(EvaluationError, match="pocketsphinx, which is not installed") as raised:
        alignment.align(speech, TRANSCRIPT)
    assert "pip install pocketsphinx" in (raised.value.hint or "")


def test_alignment_equals_the_committed_one(speech: Sound, aligned: list[Phone]) -> None:
    pytest.importorskip("pocketsphinx")
    result = alignment.align(speech, TRANSCRIPT)
    assert [phone.name for phone in result] == [phone.name for phone in aligned]
    assert all(abs(a.start - b.start) < 0.03 for a, b in zip(result, aligned, strict=True))


@pytest.mark.parametrize(
    ("transcript", "words"),
    [
        ("The cat sat on the mat.", "does not match"),
        ("And Mister John Dashwood had then leisure", "does not match"),
        ("And Mr. John Dashwoodish had then leisure", "dictionary: dashwoodish"),
        ("1811?", "no words"),
    ],
)
def test_transcript_that_does_not_fit_is_an_error(speech: Sound, transcript: str, words: str) -> None:
    pytest.importorskip("pocketsphinx")
    with pytest.raises(EvaluationError, match=words):
        alignment.align(speech, transcript)
