"""Minimum results of the puppet engine on three voices."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from shared.messages.request import Params
from stages.encode.evaluation import phones, sound
from stages.encode.evaluation.identity import IdentityMeter
from stages.encode.evaluation.report import Report, evaluate
from stages.infer.i420 import to_i420
from tests.evaluation.conftest import PORTRAIT, Render
from tests.evaluation.voices import say

VOICES = {
    "en-us": "The children went to the river on a sunny afternoon. They looked at the boats, and sat in the grass "
    "until their mother called them home for tea. It was a happy day, and nobody wanted it to end.",
    "en-us+f2": "When the train left the station, a tall man opened his paper and read the news. Outside, the hills "
    "were green and quiet. He thought of his garden, and of the apples that he had promised to bring.",
}


def assert_gates(report: Report) -> None:
    result = report.metrics()
    assert result["faces_found"] == 1
    assert result["sync_r"] >= 0.8
    assert abs(result["av_offset_ms"]) <= 30
    assert abs(result["heard_offset_ms"]) <= 30
    assert abs(result["r_control"]) < 0.2
    assert result["closure_lift"] >= 0.25
    assert result["silence_closed"] >= 0.9


def test_sample_passes_the_gates(evaluated: Report) -> None:
    assert_gates(evaluated)


@pytest.mark.parametrize("voice", [pytest.param("en-us", marks=pytest.mark.slow), "en-us+f2"])
def test_synthetic_voice_passes_the_gates(render: Render, tmp_path: Path, voice: str) -> None:
    spoken = say(VOICES[voice], voice, tmp_path / "speech.wav")
    reference = phones.expected(spoken.phones, spoken.seconds)
    assert_gates(evaluate(render(spoken.path).path, sound.load(spoken.path), reference))


def test_nothing_moves_outside_the_face(render: Render, evaluated: Report) -> None:
    """On the frames as rendered, with the head held still; encoding would add its own differences."""
    film = render(engine_params={"head_motion": 0.0}, params=Params(duration=2.6, trim=True))
    portrait = to_i420(np.asarray(Image.open(PORTRAIT).convert("RGB")))
    meter = IdentityMeter(
        np.asarray(cv2.cvtColor(portrait, cv2.COLOR_YUV2RGB_I420), np.uint8), evaluated.readings.points
    )
    for frame in film.frames:
        meter.add(np.asarray(cv2.cvtColor(frame, cv2.COLOR_YUV2RGB_I420), np.uint8))
    result = meter.result()
    assert result is not None
    assert (result.max_difference, result.psnr_db) == (0, None)
    assert any((frame != film.frames[0]).any() for frame in film.frames), "inside something does"


def test_equal_seeds_give_equal_bytes(render: Render) -> None:
    """Of the whole file, encoded."""
    params = Params(duration=1.4, trim=True, seed=7)
    first, second = (render(params=params).path.read_bytes() for _ in range(2))
    assert first == second
    assert render(params=params.model_copy(update={"seed": 8})).path.read_bytes() != first
