"""Seconds of video per second of work: the puppet at 512 and 768, end to end with the four services.

    .venv/bin/python -m bench.realtime [--jobs 3] [--baseline CHECKOUT] [--json FILE]

Starts the local stack when none runs. One job runs at a time, each with the sample's portrait and speech changed by a
few bits, so that nothing comes from the cache. Targets on two cores: 2.5 at 512, 1.0 at 768.

With a baseline, another checkout with its own environment, both run in turns, and the ratios of neighbouring runs are
reported: first for the infer stage alone (targets 4.0 and 2.0), then for this benchmark end to end, each checkout with
its own stack.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from bench import alone
from bench.record import emit
from shared.client import Client
from shared.local.deployment import running_deployment
from shared.local.settings import LocalSettings
from shared.messages.events import Done

TARGETS = {512: 2.5, 768: 1.0}
ALONE_TARGETS = {512: 4.0, 768: 2.0}
HERE = Path(__file__).resolve().parents[1]
SAMPLES = HERE / "samples"


def unseen(folder: Path) -> tuple[Path, Path]:
    """Copies of the samples with one pixel and eight low bits changed: no stage finds its output in the cache."""
    portrait, speech = folder / "portrait.png", folder / "speech.wav"
    with Image.open(SAMPLES / "portrait.png") as picture:
        changed = picture.convert("RGB")
    changed.putpixel((0, 0), tuple(os.urandom(3)))
    changed.save(portrait)
    sound = bytearray((SAMPLES / "speech.wav").read_bytes())
    sound[-16::2] = os.urandom(8)  # The low bytes of eight samples.
    speech.write_bytes(sound)
    return portrait, speech


def render(client: Client, resolution: int, seed: int, files: tuple[Path, Path]) -> tuple[Done, float]:
    """One job alone; its done event and the wall seconds from submit to done."""
    spec = client.job_spec(*files, params={"min_resolution": resolution, "seed": seed})
    start = client.position()
    before = time.monotonic()
    end = client.wait(client.submit(spec), start=start)
    if not isinstance(end, Done):
        raise SystemExit(f"the job is not done: {end}")
    return end, time.monotonic() - before


def end_to_end(jobs: int) -> dict[str, Any]:
    """Figures of this checkout by size."""
    figures: dict[str, Any] = {}
    with (
        running_deployment(LocalSettings()) as deployment,
        Client(deployment, service_name="bench") as client,
        tempfile.TemporaryDirectory() as folder,
    ):
        client.check()
        for resolution, target in TARGETS.items():
            render(client, resolution, 0, unseen(Path(folder)))
            runs = [render(client, resolution, seed, unseen(Path(folder))) for seed in range(1, jobs + 1)]
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
    return figures


def _ratio(pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """Medians of both, and of the ratio within each pair (here, baseline)."""
    here, baseline = (round(statistics.median(pair[k] for pair in pairs), 2) for k in (0, 1))
    ratios = [round(ours / theirs, 2) for ours, theirs in pairs]
    return {"here": here, "baseline": baseline, "ratio": round(statistics.median(ratios), 2), "ratios": ratios}


def compared_alone(baseline: Path, rounds: int) -> dict[str, Any]:
    """The infer stage alone, here and in the baseline, in turns."""
    figures: dict[str, Any] = {}
    for size, target in ALONE_TARGETS.items():
        pairs = alone.alternate(HERE, baseline, size, rounds)
        figures[str(size)] = {
            "x_real_time": _ratio([(ours.x_real_time, theirs.x_real_time) for ours, theirs in pairs]),
            "video_s_per_cpu_s": _ratio([(o.video_s / o.cpu_s, t.video_s / t.cpu_s) for o, t in pairs]),
            "peak_mb": {"here": round(pairs[-1][0].peak_mb), "baseline": round(pairs[-1][1].peak_mb)},
            "target": target,
        }
    return figures


def _measured(checkout: Path, jobs: int, folder: Path) -> dict[str, Any]:
    """This benchmark, run end to end by a checkout's own code."""
    file = folder / "record.json"
    options = ["--jobs", str(jobs), "--json", str(file)]
    command = [alone.interpreter(checkout), "-m", "bench.realtime", *options]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    subprocess.run(command, cwd=checkout, env=environment, check=True, stdout=subprocess.DEVNULL)
    record: dict[str, Any] = json.loads(file.read_text())
    return record


def compared_end_to_end(baseline: Path, jobs: int, rounds: int) -> dict[str, Any]:
    """Both checkouts end to end, in turns."""
    runs: dict[Path, list[dict[str, Any]]] = {HERE: [], baseline: []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for checkout in (HERE, baseline) if number % 2 == 0 else (baseline, HERE):
                runs[checkout].append(_measured(checkout, jobs, Path(folder)))
    figures: dict[str, Any] = {}
    for size in map(str, TARGETS):
        neighbours = list(zip(runs[HERE], runs[baseline], strict=True))
        figures[size] = {
            name: _ratio([(ours[size][name], theirs[size][name]) for ours, theirs in neighbours])
            for name in ("x_real_time", "x_real_time_of_infer")
        }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--baseline", type=Path, help="another checkout to compare with")
    parser.add_argument("--rounds", type=int, default=4, help="pairs of runs with a baseline")
    parser.add_argument("--alone", action="store_true", help="with a baseline: the infer stage alone only")
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.baseline is None:
        emit("realtime", end_to_end(options.jobs))
        return
    baseline = options.baseline.resolve()
    figures: dict[str, Any] = {"infer_alone": compared_alone(baseline, options.rounds)}
    if not options.alone:
        figures["end_to_end"] = compared_end_to_end(baseline, options.jobs, max(1, options.rounds // 2))
    emit("realtime", figures)


if __name__ == "__main__":
    main()
