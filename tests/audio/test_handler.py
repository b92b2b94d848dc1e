"""The stage as the slot runs it."""

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from shared.messages.codes import Code, Rejected
from shared.messages.metadata import AudioMetadata
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.slot.api import Cancelled, Result, Task
from stages.audio import STAGE
from stages.audio.handler import load
from stages.audio.settings import AudioSettings
from tests.audio.tones import record, tone
from tests.stage_harness import StageHarness
from tests.stages.declared import assert_declared

SPEECH = Path(__file__).parents[2] / "samples" / "speech.wav"


def task(speech: Path, **params: Any) -> Task:
    request = RenderRequest.model_validate(
        {"portrait": {"key": "default/p.png"}, "speech": {"key": "default/s.wav"}, "params": params}
    )
    job = RenderTask(job_id="j", request_id=str(uuid.uuid4()), request=request, submitted_ms=0)
    return Task(job=job, inputs={"speech": speech})


def run(tmp_path: Path, speech: Path, **params: Any) -> tuple[StageHarness, Result, AudioMetadata]:
    harness = StageHarness(tmp_path / "scratch")
    result = load()(harness, task(speech, **params))
    assert isinstance(result.metadata, AudioMetadata)
    return harness, result, result.metadata


def test_sample_speech(tmp_path: Path) -> None:
    harness, result, metadata = run(tmp_path, SPEECH)
    sizes = {"samples at 16 kHz": 161_440, "samples at 48 kHz": 484_320, "channels": 1, "T": 1009}
    assert_declared(STAGE, result.files, sizes)
    assert all(path.parent == harness.scratch for path in result.files.values())
    assert metadata.duration_s == pytest.approx(10.09)
    assert (metadata.codec, metadata.sample_rate, metadata.channels, metadata.sound_channels) == (
        "pcm_s16le",
        16_000,
        1,
        1,
    )
    assert (metadata.duration_asked_s, metadata.duration_gap_ms, metadata.silent) == (None, 0, False)
    f0, voicing, level = np.load(result.files["tracks"])
    voiced = f0[f0 > 0]
    assert 0.4 < len(voiced) / len(f0) < 0.85
    assert 70 < np.median(voiced) < 260
    assert 0 <= voicing.min() <= voicing.max() <= 1
    assert -30 < level.max() < 0
    assert harness.warnings == []


def test_span_says_what_was_decoded(tmp_path: Path) -> None:
    harness, _, _ = run(tmp_path, SPEECH, duration=12.0)
    (span,) = harness.spans
    assert span.name == "load_audio"
    assert span.attributes["audio.sample_rate"] == 16_000
    assert span.attributes["audio.duration_asked_s"] == 12.0
    assert span.attributes["audio.duration_gap_ms"] == 1910
    ((event, attributes),) = span.events
    assert event == "Audio decoded"
    assert attributes["audio.sample_rate"] == 16_000
    assert attributes["audio.duration_s"] == pytest.approx(10.09)


@pytest.mark.parametrize("asked", [5.0, 12.0])
def test_wrong_duration_is_corrected_with_a_warning(tmp_path: Path, asked: float) -> None:
    harness, _, metadata = run(tmp_path, SPEECH, duration=asked)
    ((code, message),) = harness.warnings
    assert code is Code.DURATION_CORRECTED
    assert f"{asked:.3f} s" in message
    assert "10.090 s" in message
    assert metadata.duration_s == pytest.approx(10.09)
    assert metadata.duration_gap_ms == round((asked - 10.09) * 1000)


def test_trim_cuts_every_output(tmp_path: Path) -> None:
    harness, result, metadata = run(tmp_path, SPEECH, duration=2.5, trim=True)
    assert harness.warnings == []
    assert metadata.duration_s == 2.5
    assert np.fromfile(result.files["pcm"], "<f4").shape == (40_000,)
    assert np.fromfile(result.files["sound"], "<f4").shape == (120_000,)
    assert np.load(result.files["mel"]).shape == (80, 250)
    assert np.load(result.files["tracks"]).shape == (3, 250)


def test_silence_is_a_warning(tmp_path: Path) -> None:
    path = record(
        tmp_path / "s", np.zeros((2, 48_000), np.float32), 48_000, container="flac", codec="flac", sample_format="s16"
    )
    harness, _, metadata = run(tmp_path, path)
    assert metadata.silent
    assert not metadata.speech
    assert [code for code, _ in harness.warnings] == [Code.SILENT_AUDIO, Code.NO_SPEECH]


def test_antiphase_stereo_is_not_silent(tmp_path: Path) -> None:
    voice = tone(16_000, 1.0)[0]
    path = record(
        tmp_path / "s", np.stack([voice, -voice]), 16_000, container="wav", codec="pcm_s16le", sample_format="s16"
    )
    harness, _, metadata = run(tmp_path, path)
    assert not metadata.silent
    assert [code for code, _ in harness.warnings] == [Code.NO_SPEECH], "a tone is no voice"


def test_longest_speech_an_operator_may_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_MAX_SPEECH_S", "1801")
    with pytest.raises(ValidationError):
        AudioSettings()


def test_limit_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_MAX_SPEECH_S", "3")
    with pytest.raises(Rejected) as caught:
        run(tmp_path, SPEECH)
    assert caught.value.code is Code.AUDIO_TOO_LONG
    assert "3 s" in caught.value.message


def test_cancel_ends_the_work(tmp_path: Path) -> None:
    path = record(tmp_path / "s", tone(16_000, 5.0), 16_000, container="wav", codec="pcm_s16le", sample_format="s16")
    harness = StageHarness(tmp_path / "scratch", cancel_after=2)
    with pytest.raises(Cancelled):
        load()(harness, task(path))
    assert harness.spans[0].error == "Cancelled"


def test_cache_depends_on_what_decides_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    assert STAGE.cache_parameters is not None
    plain = STAGE.cache_parameters(task(SPEECH).job)
    assert STAGE.cache_parameters(task(SPEECH, seed=5).job) == plain
    assert STAGE.cache_parameters(task(SPEECH, duration=3.0).job) != plain
    assert STAGE.cache_parameters(task(SPEECH, duration=3.0, trim=True).job) != STAGE.cache_parameters(
        task(SPEECH, duration=3.0).job
    )


def test_two_runs_are_identical(tmp_path: Path) -> None:
    first = run(tmp_path / "a", SPEECH)[1].files
    second = run(tmp_path / "b", SPEECH)[1].files
    assert {role: path.read_bytes() for role, path in first.items()} == {
        role: path.read_bytes() for role, path in second.items()
    }
