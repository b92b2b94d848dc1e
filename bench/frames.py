"""Codecs for the frames between infer and encode: bytes and CPU time a frame, on one thread.

``python -m bench.frames [--resolution 512] [--rounds 3] [--json FILE]``. The frames are those of the puppet for the
sample, and the same with Gaussian noise that changes from frame to frame. Ours is what the stages run; the others are
the libraries' own codecs, a chunk of 25 frames at a time, as ours. Times are the least of the rounds; every codec's
frames are compared with the original, so a lossy one shows itself.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import av
import numpy as np

from bench.record import emit
from shared.messages.chunks import MAX_CHUNK_FRAMES
from shared.slot.frames.chunk import open_writer, read_frames
from shared.slot.frames.frame import Frame

SIGMAS = (0.0, 1.0, 2.5)
NOISY_FRAMES = 100

Encode = Callable[[Frame], list[bytes]]
Decode = Callable[[list[bytes], int, int], Iterator[Frame]]


def puppet_frames(resolution: int, folder: Path) -> Frame:
    """The sample's frames as the infer stage draws them: [n, height * 3 / 2, width]."""
    import stages.audio.handler
    import stages.face.handler
    import stages.infer.handler
    from shared.messages.metadata import InferMetadata
    from shared.messages.refs import InputRef
    from shared.messages.request import Params, RenderRequest
    from shared.messages.task import RenderTask, StageOutput
    from shared.slot.api import Task
    from tests.stage_harness import StageHarness

    samples, ref = Path(__file__).parents[1] / "samples", InputRef(bucket="inputs", key="default/x")
    request = RenderRequest(portrait=ref, speech=ref, params=Params(min_resolution=resolution))
    outputs: dict[str, StageOutput] = {}

    def task(inputs: Mapping[str, Path]) -> Task:
        job = RenderTask(job_id="j", request_id="r", request=request, submitted_ms=0, outputs=dict(outputs))
        return Task(job, inputs)

    audio = stages.audio.handler.load()(StageHarness(folder / "a"), task({"speech": samples / "speech.wav"}))
    face = stages.face.handler.load()(StageHarness(folder / "f"), task({"portrait": samples / "portrait.png"}))
    for name, result in (("audio", audio), ("face", face)):
        outputs[name] = StageOutput(attempt="1", metadata=result.metadata.model_dump(mode="json"))
    context = StageHarness(folder / "i")
    drawn = stages.infer.handler.load()(context, task({**audio.files, **face.files})).metadata
    assert isinstance(drawn, InferMetadata)
    chunks = [path for path, _ in context.uploaded["frames"]]
    frames = (f for path in chunks for f in read_frames(path, drawn.frame_codec, drawn.width, drawn.height))
    return np.stack(list(frames))


def with_noise(frames: Frame, sigma: float) -> Frame:
    if not sigma:
        return frames
    few = frames[:NOISY_FRAMES]
    return np.clip(np.rint(few + np.random.default_rng(0).normal(0, sigma, few.shape)), 0, 255).astype(np.uint8)


def library(
    encoder: str, decoder: str, pixels: str, options: dict[str, str], tag: str | None = None
) -> tuple[Encode, Decode]:
    """A codec of libavcodec, one thread."""

    def encode(frames: Frame) -> list[bytes]:
        context = cast("av.VideoCodecContext", av.CodecContext.create(encoder, "w"))
        context.width, context.height, context.pix_fmt = frames.shape[2], frames.shape[1] * 2 // 3, pixels
        context.time_base, context.thread_count, context.options = Fraction(1, 25), 1, options
        packets = []
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, "yuv420p")
            picture.pts = number
            if pixels != "yuv420p":
                picture = picture.reformat(format=pixels)
            packets += [bytes(packet) for packet in context.encode(picture)]
        packets += [bytes(packet) for packet in context.encode(None)]
        return [context.extradata or b"", *packets]

    def decode(parts: list[bytes], width: int, height: int) -> Iterator[Frame]:
        context = cast("av.VideoCodecContext", av.CodecContext.create(decoder, "r"))
        context.width, context.height, context.pix_fmt, context.thread_count = width, height, pixels, 1
        if tag is not None:
            context.codec_tag = tag
        context.extradata = parts[0] or None
        for packet in (*map(av.Packet, parts[1:]), None):
            for picture in context.decode(packet):
                yield np.asarray(picture.to_ndarray(format="yuv420p"), np.uint8)

    return encode, decode


def ours(codec: Any, folder: Path) -> tuple[Encode, Decode]:
    """A codec of the stages, by files as there."""

    def encode(frames: Frame) -> list[bytes]:
        path = folder / "chunk"
        writer = open_writer(path, codec, frames.shape[2], frames.shape[1] * 2 // 3)
        for frame in frames:
            writer.write(frame)
        writer.close()
        return [path.read_bytes()]

    def decode(parts: list[bytes], width: int, height: int) -> Iterator[Frame]:
        path = folder / "chunk"
        path.write_bytes(parts[0])
        return read_frames(path, codec, width, height)

    return encode, decode


def measure(encode: Encode, decode: Decode, frames: Frame, rounds: int) -> dict[str, float | bool]:
    """Milliseconds of CPU a frame, how many times smaller than raw, and whether every byte came back."""
    height, width = frames.shape[1] * 2 // 3, frames.shape[2]
    chunks = [frames[start : start + MAX_CHUNK_FRAMES] for start in range(0, len(frames), MAX_CHUNK_FRAMES)]
    costs, size, exact = [], 0, True
    for _ in range(rounds):
        encoding = decoding = 0.0
        size = 0
        for chunk in chunks:
            start = time.process_time()
            parts = encode(chunk)
            encoded = time.process_time()
            back = list(decode(parts, width, height))
            decoding += time.process_time() - encoded
            encoding += encoded - start
            size += sum(map(len, parts))
            exact = exact and len(back) == len(chunk) and all((a == b).all() for a, b in zip(back, chunk, strict=True))
        costs.append((encoding, decoding))
    encoding, decoding = (1000 * min(column) / len(frames) for column in zip(*costs, strict=True))
    return {
        "encode_ms": round(encoding, 2),
        "decode_ms": round(decoding, 2),
        "times_smaller": round(frames.size / size, 2),
        "exact": exact,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Codecs for the frames between infer and encode.")
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the record here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = puppet_frames(options.resolution, folder)
        codecs = {
            "raw": ours("raw", folder),
            "h264-lossless": ours("h264-lossless", folder),
            "x264 superfast": library("libx264", "h264", "yuv420p", {"preset": "superfast", "qp": "0"}),
            "utvideo": library("utvideo", "utvideo", "yuv420p", {}, "ULY0"),
            "ffv1": library("ffv1", "ffv1", "yuv420p", {"level": "3", "g": "25"}),
            "jpeg": library("mjpeg", "mjpeg", "yuvj420p", {"q": "2"}),
        }
        results = {
            f"sigma {sigma:g}": {
                name: measure(*codec, with_noise(frames, sigma), options.rounds) for name, codec in codecs.items()
            }
            for sigma in SIGMAS
        }
    video = f"{frames.shape[2]}x{frames.shape[1] * 2 // 3}, {len(frames)} frames, {NOISY_FRAMES} with noise"
    emit("frames", {"video": video, "rounds": options.rounds, "codecs": results})


if __name__ == "__main__":
    main()
