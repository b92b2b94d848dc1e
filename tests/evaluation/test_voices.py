"""Phones of other languages, from espeak-ng's events."""

from pathlib import Path

import pytest

from stages.encode.evaluation import phones
from tests.evaluation.voices import say

TEXTS = {
    "cmn": "妈妈在公园里散步",
    "es": "Mi abuelo compra pan por la mañana",
    "ru": "Моя бабушка пьёт чай и пишет письма",
    "hi": "मेरा भाई बाज़ार जाता है",
}


@pytest.mark.parametrize("voice", TEXTS)
def test_any_language_becomes_phones(voice: str, tmp_path: Path) -> None:
    spoken = say(TEXTS[voice], voice, tmp_path / "speech.wav")
    assert len(spoken.phones) > 8
    found = phones.expected(spoken.phones, spoken.seconds)
    assert found.closures and found.vowels
    assert found.speech_s > 0.7 * spoken.seconds
