"""The bundled portrait and speech as the stages before would hand them over."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stages.audio.handler
import stages.face.handler
from shared.messages.refs import InputRef
from shared.messages.request import Params, RenderRequest
from shared.messages.task import RenderTask, StageOutput
from shared.slot.api import Task
from stages.infer.engine import Portrait, Speech
from tests.stage_harness import StageHarness

SAMPLES = Path(__file__).parents[2] / "samples"
SECONDS = 2.6

MakeTask = Callable[..., Task]


def render_request(**fields: Any) -> RenderRequest:
    ref = {"bucket": "inputs", "key": "default/x"}
    return RenderRequest.model_validate(
        {"portrait": InputRef.model_validate(ref), "speech": InputRef.model_validate(ref), **fields}
    )


def render_job(outputs: dict[str, StageOutput] | None = None, **fields: Any) -> RenderTask:
    return RenderTask(
        job_id="job", request_id="request", request=render_request(**fields), submitted_ms=0, outputs=outputs or {}
    )


@pytest.fixture(scope="session")
def make_task(tmp_path_factory: pytest.TempPathFactory) -> MakeTask:
    """A task of the infer stage: request fields as keywords, metadata of audio overridden by ``audio``."""
    scratch = tmp_path_factory.mktemp("earlier")
    asked = Params(duration=SECONDS, trim=True)
    face = stages.face.handler.load()(
        StageHarness(scratch / "face"), Task(render_job(params=asked), {"portrait": SAMPLES / "portrait.png"})
    )
    audio = stages.audio.handler.load()(
        StageHarness(scratch / "audio"), Task(render_job(params=asked), {"speech": SAMPLES / "speech.wav"})
    )
    files = {**face.files, **audio.files}

    def make(audio_metadata: dict[str, Any] | None = None, **fields: Any) -> Task:
        outputs = {
            "face": StageOutput(attempt="1", metadata=face.metadata.model_dump(mode="json")),
            "audio": StageOutput(
                attempt="1", metadata={**audio.metadata.model_dump(mode="json"), **(audio_metadata or {})}
            ),
        }
        return Task(render_job(outputs, **fields), files)

    return make


@pytest.fixture(scope="session")
def portrait(make_task: MakeTask) -> Portrait:
    inputs = make_task().inputs
    return Portrait(
        np.load(inputs["image"]), np.load(inputs["landmarks"]), np.load(inputs["mask"]), (0.0, 0.0, 1.0, 1.0)
    )


@pytest.fixture(scope="session")
def speech(make_task: MakeTask) -> Speech:
    inputs = make_task().inputs
    pcm = np.fromfile(inputs["pcm"], "<f4")
    return Speech(pcm, np.load(inputs["mel"]), np.load(inputs["tracks"]), len(pcm) / 16_000, False)
