"""The encode stage's writer against a plain PyAV loop with the same settings: user and system CPU of the process.

``python -m bench.encode [--seconds 10] [--width 512] [--height 512] [--rounds 5] [--json FILE]``. Both write the same
frames and the same sound, in turns (ABBA), so that load on the machine affects both alike. A ratio over 1 means that
the plain loop costs more.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from bench.record import emit
from stages.encode.labels import labels
from stages.encode.mp4 import Coding, Frames, Mp4Writer, Sound

SAMPLE = Path(__file__).parents[1] / "samples" / "portrait.png"
CODING = Coding()


def talking(width: int, height: int, seconds: float) -> Frames:
    """The sample portrait swaying and opening its mouth: I420 frames."""
    picture = cv2.imread(str(SAMPLE))
    if picture is None:
        raise SystemExit(f"{SAMPLE} is missing")
    picture = cv2.cvtColor(cv2.resize(picture, (width, height)), cv2.COLOR_BGR2RGB)
    frames = []
    for i in range(round(seconds * 25)):
        angle = 0.8 * np.sin(2 * np.pi * i / 70)
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1 + 0.004 * np.sin(i / 11))
        frame = cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        opening = int(abs(np.sin(2 * np.pi * i / 9)) * height * 0.02)
        cv2.ellipse(frame, (width * 44 // 100, height * 36 // 100), (width // 30, opening), 0, 0, 360, (60, 20, 20), -1)
        frames.append(cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420))
    return np.asarray(frames, np.uint8)


def hum(seconds: float) -> Sound:
    t = np.arange(round(seconds * 48_000)) / 48_000
    voice = 0.2 * np.sin(2 * np.pi * 140 * t) * (1 + np.sin(2 * np.pi * 4 * t))
    return np.asarray(voice[:, None], np.float32)


def stage_writer(path: Path, frames: Frames, sound: Sound) -> None:
    height, width = frames.shape[1] * 2 // 3, frames.shape[2]
    with Mp4Writer(path, width, height, sound, labels("puppet"), CODING) as writer:
        for start in range(0, len(frames), 25):
            writer.write(frames[start : start + 25])


def plain(path: Path, frames: Frames, sound: Sound) -> None:
    """The loop of PyAV's documentation."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as file:
        options = {"crf": "18", "preset": CODING.preset, "profile": "high", "g": "50"}
        video = file.add_stream("libx264", rate=25, options=options)
        video.width, video.height, video.pix_fmt = frames.shape[2], frames.shape[1] * 2 // 3, "yuv420p"
        video.codec_context.thread_count, video.codec_context.thread_type = CODING.threads, "SLICE"
        audio = file.add_stream("aac", rate=48_000, layout="mono", bit_rate=128_000)
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            for packet in video.encode(frame):
                file.mux(packet)
        for packet in video.encode(None):
            file.mux(packet)
        for start in range(0, len(sound), 1024):
            block = np.ascontiguousarray(sound[start : start + 1024].T)
            part = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            part.sample_rate, part.pts, part.time_base = 48_000, start, Fraction(1, 48_000)
            for packet in audio.encode(part):
                file.mux(packet)
        for packet in audio.encode(None):
            file.mux(packet)


def cost(
    encode: Callable[[Path, Frames, Sound], None], path: Path, frames: Frames, sound: Sound
) -> tuple[float, float]:
    """CPU and wall seconds."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    encode(path, frames, sound)
    after, end = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, end - start


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU of the encode stage's writer against a plain PyAV loop.")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the record here too")
    options = parser.parse_args()
    frames, sound = talking(options.width, options.height, options.seconds), hum(options.seconds)
    arms = {"ours": stage_writer, "plain": plain}
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    sizes: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in arms:  # Warm-up: the first encoder of a process initialises its tables.
            arms[name](Path(folder) / "warm.mp4", frames[:25], sound[:48_000])
        for turn in range(options.rounds):
            for name in sorted(arms, reverse=bool(turn % 2)):
                path = Path(folder) / f"{name}.mp4"
                costs[name].append(cost(arms[name], path, frames, sound))
                sizes[name] = path.stat().st_size
    cpu = {name: statistics.median(c for c, _ in runs) for name, runs in costs.items()}
    wall = {name: statistics.median(w for _, w in runs) for name, runs in costs.items()}
    emit(
        "encode",
        {
            "video": f"{options.width}x{options.height}, {len(frames)} frames",
            "preset": CODING.preset,
            "threads": CODING.threads,
            "rounds": options.rounds,
            "cpu_s": {name: round(value, 3) for name, value in cpu.items()},
            "wall_s": {name: round(value, 3) for name, value in wall.items()},
            "bytes": sizes,
            "cpu_ratio_plain_to_ours": round(cpu["plain"] / cpu["ours"], 3),
            "video_s_per_cpu_s": round(options.seconds / cpu["ours"], 2),
        },
    )


if __name__ == "__main__":
    main()
