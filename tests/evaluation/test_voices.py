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
def test_other_languages_give_phones(voice: str, tmp_path: Path) -> None:
    spoken = say(TEXTS[voice], voice, tmp_path / "speech.wav")
    assert len(spoken.phones) > 8
    result = phones.expected(spoken.phones, spoken.seconds)
    assert result.closures and result.vowels
    assert result.speech_s > 0.7 * spoken.seconds
