"""Seconds of video per second of work: the puppet at 512 and 768, end to end with the four services.

    .venv/bin/python -m bench.realtime [--jobs 3] [--json FILE]

Starts the local stack when none runs. One job at a time, each with the sample's portrait and speech changed by a bit,
so that nothing comes from the cache. Targets on two cores: 2.0 at 512, 1.0 at 768.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import JsonValue

from bench.record import emit
from shared.cli import connection, demo, order
from shared.cli.events import tail
from shared.cli.submit import submit
from shared.cli.waiting import wait
from shared.messages.events import AnyEvent, Done

TARGETS = {512: 2.0, 768: 1.0}


def _quiet(_: AnyEvent) -> None:
    """Progress is not wanted here."""


def unseen(folder: Path) -> tuple[Path, Path]:
    """The samples with a pixel and a few last bits of their own: no stage finds its product in the cache."""
    portrait, speech = folder / "portrait.png", folder / "speech.wav"
    with Image.open(demo.sample("portrait")) as picture:
        changed = picture.convert("RGB")
    changed.putpixel((0, 0), tuple(os.urandom(3)))
    changed.save(portrait)
    sound = bytearray(demo.sample("speech").read_bytes())
    sound[-16::2] = os.urandom(8)  # The low bytes of eight samples.
    speech.write_bytes(sound)
    return portrait, speech


def render(to: connection.Connection, resolution: int, seed: int, files: tuple[Path, Path]) -> tuple[Done, float]:
    """One job alone; its done event and the wall seconds from submit to done."""
    limits = to.settings
    fields: dict[str, JsonValue] = {"params": {"min_resolution": resolution, "seed": seed}}
    wanted = order.checked(
        *files,
        fields,
        max_portrait_mb=limits.max_portrait_mb,
        max_speech_mb=limits.max_speech_mb,
    )
    start = tail(to, wanted.job_id)
    began = time.monotonic()
    submitted = submit(to, wanted)
    end = wait(to, wanted.job_id, start, request_id=submitted.request_id, each=_quiet)
    if not isinstance(end, Done):
        raise SystemExit(f"the job did not end done: {end}")
    return end, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--json")
    jobs = parser.parse_args().jobs
    figures: dict[str, Any] = {}
    with demo.borrowed_stack(), tempfile.TemporaryDirectory() as folder:
        to = connection.reached()
        for resolution, target in TARGETS.items():
            render(to, resolution, 0, unseen(Path(folder)))
            runs = [render(to, resolution, seed, unseen(Path(folder))) for seed in range(1, jobs + 1)]
            ratios = [end.duration_s / wall for end, wall in runs]
            median = statistics.median(ratios)
            figures[str(resolution)] = {
                "video_s": runs[0][0].duration_s,
                "wall_s": [round(wall, 2) for _, wall in runs],
                "stage_s": runs[-1][0].seconds,
                "x_real_time": round(median, 2),
                "x_real_time_of_infer": round(runs[-1][0].duration_s / runs[-1][0].seconds["infer"], 2),
                "target": target,
                "met": median >= target,
            }
    emit("realtime", figures)


if __name__ == "__main__":
    main()
