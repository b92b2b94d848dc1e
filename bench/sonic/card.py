"""What only a GPU can show, in under ten minutes: ``.venv-sonic/bin/python -m bench.sonic.card --json FILE``.

Parts: ``parity`` (the autoencoder's stored frames, ``f64.vae_frames``), ``resume`` (a resumed render has the same
bytes), ``codec`` (share of the time in which the GPU waits while frames are coded), ``cold`` (seconds from the start of
a process to readiness), ``fits`` (the memory planner's headroom under caps), ``cold_compiled`` (needs a C compiler).

Each runs in a process of its own with a time limit, and the record is written after each: what is cut off loses only
itself. Without a GPU a tiny model runs on the CPU, which tries the script, not the engine; ``fits`` and
``cold_compiled`` are left out then.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from bench.record import emit
from bench.sonic.fits import measure_fits
from bench.sonic.render import measure_codec, measure_resume, nvenc_lossless
from bench.sonic.tree import OFFICIAL, TINY, write_tree
from stages.infer.sonic.engine import SonicEngine
from stages.infer.sonic.nets.vae import Vae
from stages.infer.sonic.networks import load_networks
from stages.infer.sonic.weights.tree import open_tree

LIMITS_S = {"parity": 60.0, "resume": 90.0, "codec": 120.0, "cold": 60.0, "fits": 150.0, "cold_compiled": 240.0}
"""Longest time of each part."""
GPU_ONLY = ("fits", "cold_compiled")
GPU = torch.cuda.is_available()
DEVICE = "cuda:0" if GPU else "cpu"
SIDE, SECONDS, STEPS = (512, 4.0, 4) if GPU else (128, 0.6, 3)


def parity(_: Path) -> dict[str, Any]:
    """Largest difference from the stored frames, in units of the tolerance; over 1 is a failure."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    public: Any = import_module("tests.sonic.public")  # The program that makes its weights has no types.
    found = {}
    for name, dtype in (("f32", torch.float32), ("f64", torch.float64)):
        vae = public.loaded(Vae(public.tiny_config().vae), public.VAE_FILE, dtype).to(DEVICE)
        decoded = vae.decode(public.stored("vae.latents", dtype).to(DEVICE), frames=3).cpu().double()
        worst = (decoded - torch.from_numpy(public.arrays()["f64.vae_frames"]).double()).abs().max().item()
        found[name] = {"worst": worst, "of_tolerance": round(worst / public.TOLERANCES["f64.vae_frames"][name], 3)}
    return found


def resume(tree: Path) -> dict[str, Any]:
    """See `render.measure_resume`."""
    return measure_resume(_engine(tree), SIDE, SECONDS / 4, 2 * STEPS)


def codec(tree: Path) -> dict[str, Any]:
    """See `render.measure_codec`."""
    rows = measure_codec(_engine(tree), SIDE, SECONDS, STEPS)
    same = len({row["frames_sha256"] for row in rows}) == 1
    return {"rows": rows, "same_frames": same, "nvenc_lossless": nvenc_lossless(SIDE)}


def fits(tree: Path) -> Any:
    """See `fits.measure_fits`."""
    return measure_fits(load_networks(open_tree(tree), torch.device(DEVICE), torch.float16), OFFICIAL)


def cold(tree: Path, compiled: str = "0") -> Any:
    """See `bench.sonic.cold`; the files are in the page cache."""
    command = [sys.executable, "-m", "bench.sonic.cold", str(time.time()), str(tree), DEVICE, "fp16" if GPU else "fp32"]
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(tree / "compiled")}  # Empty: a new machine has nothing compiled.
    done = subprocess.run([*command, compiled], check=True, stdout=subprocess.PIPE, env={**os.environ, **cache})
    return json.loads(done.stdout)


def cold_compiled(tree: Path) -> Any:
    """The same with torch.compile."""
    return cold(tree, "1")


PARTS: dict[str, Callable[[Path], Any]] = {
    part.__name__: part for part in (parity, resume, codec, cold, fits, cold_compiled)
}


def _engine(tree: Path) -> SonicEngine:
    os.environ |= {"LIPSTAGE_SONIC_WEIGHTS": str(tree), "LIPSTAGE_SONIC_DEVICE": DEVICE}
    engine = SonicEngine()
    engine.load()
    return engine


def run(part: str, tree: Path, limit_s: float) -> Any:
    """The part's result from a process of its own, or why it has none."""
    command = [sys.executable, "-m", "bench.sonic.card", "--part", part, "--tree", str(tree)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=limit_s, check=True)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {limit_s:.0f} s"}
    except subprocess.CalledProcessError as e:
        return {"failed": f"exit status {e.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m bench.sonic.card", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure, comma-separated")
    parser.add_argument("--limit", type=float, default=570.0, help="seconds for everything")
    parser.add_argument("--json", type=Path, help="write the record there")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--tree", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part](options.tree)))
        return
    if unknown := set(options.parts.split(",")) - PARTS.keys():
        parser.error(f"there is no part {', '.join(sorted(unknown))}; parts are {', '.join(PARTS)}")
    ends = time.monotonic() + options.limit
    device = torch.cuda.get_device_name(0) if GPU else "cpu"
    figures: dict[str, Any] = {"torch": torch.__version__, "device": device, "picture": f"{SIDE}x{SIDE}"}
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        write_tree(Path(folder), OFFICIAL if GPU else TINY)
        figures["tree_s"] = round(time.monotonic() - started, 1)
        for part in options.parts.split(","):
            left = ends - time.monotonic()
            if part in GPU_ONLY and not GPU:
                figures[part] = {"failed": "needs a GPU"}
            elif left < 10:
                figures[part] = {"failed": "no time was left"}
            else:
                started = time.monotonic()
                figures[part] = run(part, Path(folder), min(left, LIMITS_S[part]))
                figures[f"{part}_s"] = round(time.monotonic() - started, 1)
            print(part, figures[part], flush=True)
            if options.json:
                options.json.write_text(json.dumps(figures))
    emit("sonic_card", figures)


if __name__ == "__main__":
    main()
