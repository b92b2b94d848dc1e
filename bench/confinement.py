"""What confinement costs: renders by confined worker processes against unconfined ones, in turns, in one run.

    .venv/bin/python -m bench.confinement [--rounds 5] [--size 512] [--starts 5] [--json FILE]

Two sets of the four worker processes are loaded, and render the sample one after the other: confined, unconfined,
unconfined, confined, and so on (ABBA). Prints the medians of wall and CPU time with their ratios, and how long a worker
process of each stage takes until it is ready, with and without. The videos must have equal bytes. Target:
unconfined / confined >= 0.97.
"""

import argparse
import hashlib
import statistics
import tempfile
from pathlib import Path

from bench.record import HERE, emit
from bench.worker_render import NAMES, Workers
from shared.slot.confinement.confine import Mode

ARMS: dict[str, Mode] = {"confined": "auto", "unconfined": "off"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Render time with confinement against without.")
    parser.add_argument("--rounds", type=int, default=6, help="renders of each arm")
    parser.add_argument("--size", type=int, default=512, help="pixels")
    parser.add_argument("--starts", type=int, default=5, help="starts of the worker processes of each arm")
    parser.add_argument("--json", type=Path, help="write the record here too")
    options = parser.parse_args()
    portrait, speech = HERE / "samples" / "portrait.png", HERE / "samples" / "speech.wav"
    seconds: dict[str, list[float]] = {arm: [] for arm in ARMS}
    cpu: dict[str, list[float]] = {arm: [] for arm in ARMS}
    loads: dict[str, dict[str, list[float]]] = {arm: {name: [] for name in NAMES} for arm in ARMS}
    videos: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for turn in range(options.starts):
            for arm in sorted(ARMS, reverse=bool(turn % 2)):
                started = Workers(folder, ARMS[arm])
                started.close()
                for stage, took in started.load_s.items():
                    loads[arm][stage].append(took)
        workers = {arm: Workers(folder, mode) for arm, mode in ARMS.items()}
        try:
            for turn in range(-1, options.rounds):
                for arm in sorted(ARMS, reverse=bool(turn % 2)):
                    video = folder / f"{arm}.mp4"
                    wall_s, cpu_s = workers[arm].render(portrait, speech, options.size, video)
                    if turn >= 0:  # The first render of each arm warms up.
                        seconds[arm].append(wall_s)
                        cpu[arm].append(cpu_s)
                        videos.add(hashlib.sha256(video.read_bytes()).hexdigest())
        finally:
            for one in workers.values():
                one.close()
    median = {arm: statistics.median(values) for arm, values in seconds.items()}
    median_cpu = {arm: statistics.median(values) for arm, values in cpu.items()}
    start = {arm: {stage: round(statistics.median(v), 3) for stage, v in of.items()} for arm, of in loads.items()}
    emit(
        "confinement",
        {
            "size": options.size,
            "renders": options.rounds,
            "seconds": {arm: round(value, 3) for arm, value in median.items()},
            "ratio_unconfined_to_confined": round(median["unconfined"] / median["confined"], 3),
            "cpu_s": {arm: round(value, 3) for arm, value in median_cpu.items()},
            "cpu_ratio_unconfined_to_confined": round(median_cpu["unconfined"] / median_cpu["confined"], 3),
            "start_s": start,
            "equal_bytes": len(videos) == 1,
        },
    )


if __name__ == "__main__":
    main()
