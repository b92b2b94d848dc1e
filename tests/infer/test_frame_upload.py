"""Which codec the frames of a render get, and that it changes none of their bytes."""

import errno
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from shared.messages.metadata import InferMetadata
from shared.slot.api import Unavailable
from shared.slot.frames.chunk import read_frames
from shared.slot.records import Scalar
from stages.infer.engine import Frame
from stages.infer.frame_upload import upload_frames
from stages.infer.handler import load
from stages.infer.i420 import to_i420
from stages.infer.settings import CodecChoice
from tests.infer.conftest import MakeTask
from tests.stage_harness import StageHarness

SIZE = 128
CHOICES: tuple[CodecChoice, ...] = ("auto", "h264-lossless", "raw")


class Animated:
    """A picture that brightens, with noise that changes from frame to frame."""

    frames = 60
    prepare_cost = 0

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma

    def render(self, start: int, stop: int) -> Iterator[Frame]:
        for number in range(start, stop):
            noise = np.random.default_rng(number).normal(0, self.sigma, (SIZE, SIZE, 3)) if self.sigma else 0
            yield np.clip(np.full((SIZE, SIZE, 3), 60 + number, np.float64) + noise, 0, 255).astype(np.uint8)

    def metrics(self) -> Mapping[str, Scalar]:
        return {}


def decoded(context: StageHarness, width: int, height: int) -> list[bytes]:
    codec = context.codecs["frames"]
    return [f.tobytes() for path, _ in context.uploaded["frames"] for f in read_frames(path, codec, width, height)]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(("sigma", "chosen"), [(0.0, "h264-lossless"), (8.0, "raw")])
def test_the_first_chunk_decides_and_every_frame_stays_the_same(
    tmp_path: Path, choice: CodecChoice, sigma: float, chosen: str
) -> None:
    animation, context = Animated(sigma), StageHarness(tmp_path)
    codec = upload_frames(context, animation, SIZE, SIZE, choice)
    assert codec == context.codecs["frames"] == (chosen if choice == "auto" else choice)
    assert [count for _, count in context.uploaded["frames"]] == [25, 25, 10]
    assert decoded(context, SIZE, SIZE) == [to_i420(frame).tobytes() for frame in animation.render(0, 60)]
    assert sorted(tmp_path.iterdir()) == sorted(path for path, _ in context.uploaded["frames"]), "no file is left"


def test_the_codec_changes_no_byte_of_the_puppets_frames_and_saves_ten_times_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_task: MakeTask
) -> None:
    frames, sizes = [], []
    for choice in ("raw", "auto"):
        monkeypatch.setenv("LIPSTAGE_FRAME_CODEC", choice)
        context = StageHarness(tmp_path / choice)
        metadata = InferMetadata.model_validate(load()(context, make_task()).metadata.model_dump())
        assert metadata.frame_codec == context.codecs["frames"]
        frames.append(decoded(context, metadata.width, metadata.height))
        sizes.append(sum(path.stat().st_size for path, _ in context.uploaded["frames"]))
    assert frames[0] == frames[1]
    assert sizes[0] >= 10 * sizes[1]


def test_missing_media_library_is_found_before_the_first_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment of sonic that was set up before frames were coded."""
    monkeypatch.delitem(sys.modules, "shared.slot.frames.h264", raising=False)
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setenv("LIPSTAGE_FRAME_CODEC", "auto")
    with pytest.raises(Unavailable, match="needs av"):
        load()
    monkeypatch.setenv("LIPSTAGE_FRAME_CODEC", "raw")
    load()


def test_a_failed_write_ends_the_render(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It happens in the thread that codes; the disk is full, for example."""

    def full(self: object, frame: Frame) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shared.slot.frames.raw.RawWriter.write", full)
    context = StageHarness(tmp_path)
    with pytest.raises(OSError, match="No space"):
        upload_frames(context, Animated(0.0), SIZE, SIZE, "raw")
    assert context.uploaded == {}
