"""The codecs of frames between infer and encode: exact, bounded, and a clear error for what is no chunk."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shared.messages.chunks import MAX_CHUNK_BYTES, MAX_CODED_CHUNK_BYTES, FrameCodec
from shared.slot.frames.chunk import open_writer, read_frames
from shared.slot.frames.frame import DamagedChunk, Frame
from tests.conftest import ROOT

CODECS: tuple[FrameCodec, ...] = ("raw", "h264-lossless")


def moving(width: int, height: int, count: int) -> Frame:
    """Smooth pictures that move and have noise that stays: [count, height * 3 / 2, width]."""
    noise = np.random.default_rng(1).integers(0, 8, (height * 3 // 2, width))
    ramp = np.add.outer(np.arange(height * 3 // 2), np.arange(width)) // 3
    return np.stack([((ramp + noise + 2 * i) % 256).astype(np.uint8) for i in range(count)])


def write(path: Path, codec: FrameCodec, frames: Frame) -> Path:
    writer = open_writer(path, codec, frames.shape[2], frames.shape[1] * 2 // 3)
    for frame in frames:
        writer.write(frame)
    writer.close()
    return path


def read(path: Path, codec: FrameCodec, width: int, height: int) -> Frame:
    return np.stack(list(read_frames(path, codec, width, height)))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("width", "height", "count"), [(96, 64, 25), (98, 66, 3), (2, 2, 1), (256, 384, 10)])
def test_frames_are_the_same_bytes(tmp_path: Path, codec: FrameCodec, width: int, height: int, count: int) -> None:
    frames = moving(width, height, count)
    assert (read(write(tmp_path / "chunk", codec, frames), codec, width, height) == frames).all()


@pytest.mark.parametrize("codec", CODECS)
def test_noise_of_every_value_is_the_same_bytes(tmp_path: Path, codec: FrameCodec) -> None:
    frames = np.random.default_rng(2).integers(0, 256, (5, 96, 96), np.uint8)
    assert (read(write(tmp_path / "chunk", codec, frames), codec, 96, 64) == frames).all()


def test_equal_frames_give_equal_files(tmp_path: Path) -> None:
    frames = moving(96, 64, 10)
    one, two = (write(tmp_path / name, "h264-lossless", frames).read_bytes() for name in ("one", "two"))
    assert one == two


def test_the_worst_chunk_fits_the_limit(tmp_path: Path) -> None:
    """White noise of two values: of what was tried, it grows most."""
    frames = np.random.default_rng(3).integers(0, 2, (5, 1632, 1920), np.uint8) * np.uint8(255)
    assert frames.nbytes <= MAX_CHUNK_BYTES
    assert write(tmp_path / "chunk", "h264-lossless", frames).stat().st_size <= MAX_CODED_CHUNK_BYTES


def test_a_chunk_needs_no_other_chunk(tmp_path: Path) -> None:
    """One closed GOP each: a chunk that is fetched first is decoded first."""
    frames = moving(96, 64, 20)
    write(tmp_path / "first", "h264-lossless", frames[:10])
    second = write(tmp_path / "second", "h264-lossless", frames[10:])
    assert (read(second, "h264-lossless", 96, 64) == frames[10:]).all()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("content", [b"", b"x", b"\x00\x00\x00\x01\x09", b"\x00\x00\x00\x01\x09" * 26, bytes(5000)])
def test_what_is_no_chunk_is_an_error(tmp_path: Path, codec: FrameCodec, content: bytes) -> None:
    path = tmp_path / "chunk"
    path.write_bytes(content)
    with pytest.raises(DamagedChunk, match="a chunk"):
        read(path, codec, 96, 64)


def test_frames_of_another_size_are_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "chunk", "h264-lossless", moving(96, 64, 3))
    with pytest.raises(DamagedChunk, match="96x64 yuv420p instead of 64x96"):
        read(path, "h264-lossless", 64, 96)


def test_a_truncated_chunk_is_an_error_or_has_fewer_frames(tmp_path: Path) -> None:
    data = write(tmp_path / "chunk", "h264-lossless", moving(96, 64, 25)).read_bytes()
    chance, errors = random.Random(4), 0
    for _ in range(100):
        (tmp_path / "damaged").write_bytes(data[: chance.randrange(len(data) - 1)])
        try:
            assert len(read(tmp_path / "damaged", "h264-lossless", 96, 64)) < 25
        except DamagedChunk:
            errors += 1
    assert errors > 50


def test_a_damaged_chunk_never_has_more_frames_or_ends_the_process(tmp_path: Path) -> None:
    """The digest of a chunk finds damage before; the decoder survives it nevertheless."""
    data = write(tmp_path / "chunk", "h264-lossless", moving(96, 64, 25)).read_bytes()
    chance = random.Random(5)
    for _ in range(200):
        start = chance.randrange(len(data))
        other = chance.choice([bytes([data[start] ^ 1 << chance.randrange(8)]), bytes(50), b""])
        (tmp_path / "damaged").write_bytes(data[:start] + other + data[start + max(1, len(other)) :])
        try:
            assert len(read(tmp_path / "damaged", "h264-lossless", 96, 64)) <= 25
        except DamagedChunk:
            continue


def test_raw_chunks_need_no_media_library() -> None:
    """A deployment that stores raw frames loads no decoder."""
    program = "import sys, shared.slot.frames.chunk as c; c.read_frames('x', 'raw', 2, 2); print('av' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
