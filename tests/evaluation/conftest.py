"""Renders through the stages' own handlers in this process, without broker and object store."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import stages.audio.handler
import stages.encode.handler
import stages.face.handler
import stages.infer.handler
from shared.messages.metadata import EncodeMetadata, InferMetadata
from shared.messages.task import StageOutput
from shared.slot.api import Result, Task
from shared.slot.frames.chunk import read_frames
from stages.encode.evaluation import phones, sound
from stages.encode.evaluation.phones import Phone
from stages.encode.evaluation.reference import Reference
from stages.encode.evaluation.report import Report, evaluate
from stages.encode.mp4 import Coding, Mp4Writer
from tests.infer.conftest import SAMPLES, render_job
from tests.stage_harness import StageHarness

PORTRAIT, SPEECH = SAMPLES / "portrait.png", SAMPLES / "speech.wav"


@dataclass(frozen=True)
class Film:
    """A rendered file and its sources."""

    path: Path
    frames: NDArray[np.uint8]
    """I420 [n, height * 3 / 2, width]."""
    sound: NDArray[np.float32]
    """[n, channels] at 48 kHz."""
    portrait: NDArray[np.uint8]
    """[height, width, 3] as it was animated."""
    metadata: EncodeMetadata

    def again(self, path: Path, frames: NDArray[np.uint8] | None = None, late_s: float = 0.0) -> Path:
        """Encode other frames, or the sound ``late_s`` seconds later, as the encode stage does."""
        late = round(late_s * 48_000)
        moved = np.pad(self.sound, ((late, 0), (0, 0))) if late > 0 else self.sound[-late:]
        frames = self.frames if frames is None else frames
        with Mp4Writer(path, frames.shape[2], frames.shape[1] * 2 // 3, moved, {}, Coding()) as writer:
            for start in range(0, len(frames), 25):
                writer.write(frames[start : start + 25])
        return path


Render = Callable[..., Film]


@pytest.fixture(scope="session")
def render(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Portrait and speech through audio, face, infer and encode; ``silent`` keeps the mouth shut."""
    handlers = {
        name: module.load()
        for name, module in (
            ("audio", stages.audio.handler),
            ("face", stages.face.handler),
            ("infer", stages.infer.handler),
            ("encode", stages.encode.handler),
        )
    }

    def run(speech: Path = SPEECH, *, silent: bool = False, **fields: Any) -> Film:
        scratch = tmp_path_factory.mktemp("film")
        outputs: dict[str, StageOutput] = {}

        def stage(name: str, inputs: dict[str, Path], **sequences: list[Path]) -> tuple[Result, StageHarness]:
            context = StageHarness(scratch / name, sequences)
            result = handlers[name](context, Task(render_job(outputs, **fields), inputs))
            # Long enough for the quality measurement on a busy machine.
            outputs[name] = StageOutput(attempt="1", metadata=result.metadata.model_dump(mode="json"), seconds=60.0)
            return result, context

        audio, _ = stage("audio", {"speech": speech})
        if silent:
            metadata = {**outputs["audio"].metadata, "silent": True}
            outputs["audio"] = StageOutput(attempt="1", metadata=metadata)
        face, _ = stage("face", {"portrait": PORTRAIT})
        infer, context = stage("infer", {**audio.files, **face.files})
        chunks = [path for path, _ in context.uploaded["frames"]]
        encode, _ = stage("encode", {"sound": audio.files["sound"], "portrait": face.files["image"]}, frames=chunks)
        metadata = InferMetadata.model_validate(infer.metadata.model_dump())
        size = metadata.width, metadata.height
        frames = np.stack([frame for path in chunks for frame in read_frames(path, metadata.frame_codec, *size)])
        channels = audio.metadata.sound_channels  # type: ignore[attr-defined]
        return Film(
            encode.files["video"],
            frames,
            np.fromfile(audio.files["sound"], "<f4").reshape(-1, channels),
            np.load(face.files["image"]),
            EncodeMetadata.model_validate(encode.metadata.model_dump()),
        )

    return run


@pytest.fixture(scope="session")
def sample(render: Render) -> Film:
    """The bundled portrait with the bundled speech, as `make demo` renders them."""
    return render()


@pytest.fixture(scope="session")
def speech() -> sound.Sound:
    return sound.load(SPEECH)


@pytest.fixture(scope="session")
def aligned() -> list[Phone]:
    """pocketsphinx's alignment of the bundled speech with samples/speech.txt; test_alignment.py compares it."""
    return [Phone(*row) for row in json.loads(Path(__file__).with_name("speech.phones.json").read_text())]


@pytest.fixture(scope="session")
def alignment_reference(aligned: list[Phone], speech: sound.Sound) -> Reference:
    return phones.expected(aligned, len(speech) / sound.RATE)


@pytest.fixture(scope="session")
def evaluated(sample: Film, speech: sound.Sound, alignment_reference: Reference) -> Report:
    """The sample against its alignment."""
    return evaluate(sample.path, speech, alignment_reference, PORTRAIT)
