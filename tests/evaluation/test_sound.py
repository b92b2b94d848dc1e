"""Sound tracks that would be read as other samples than they hold are refused."""

from pathlib import Path

import pytest

from stages.encode.evaluation.errors import EvaluationError
from stages.encode.evaluation.sound import load
from tests.audio.pcm_files import chunk, extensible, fmt, integers, packed, riff


@pytest.mark.parametrize("form", [extensible(1, 4, 24), fmt(1, 24, width=4)], ids=["extensible", "plain"])
@pytest.mark.parametrize("shift", [0, 8], ids=["upper", "lower"])
def test_wav_of_fewer_valid_bits_is_refused(tmp_path: Path, form: bytes, shift: int) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(riff(chunk(b"fmt ", form), chunk(b"data", packed(integers(24, 4) >> shift, 4))))
    with pytest.raises(EvaluationError, match="convert it to FLAC or 16-bit WAV"):
        load(path)


@pytest.mark.parametrize("width", [2, 3, 4])
def test_wav_of_full_width_is_loaded(tmp_path: Path, width: int) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(riff(chunk(b"fmt ", fmt(1, 8 * width)), chunk(b"data", packed(integers(16, width), width))))
    assert load(path).any()
