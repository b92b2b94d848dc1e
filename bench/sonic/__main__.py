"""``python -m bench.sonic``: the gain of each optimization, what fits smaller GPUs, how long a start takes.

With a GPU: random weights with the official config, 512 x 512, half precision. Without one: a tiny config on the CPU,
which shows the loop's overhead only. Run it with the Python of `.venv-sonic`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from bench.record import emit
from bench.sonic.decoding import measure_decoding
from bench.sonic.fits import measure_fits
from bench.sonic.tree import OFFICIAL, TINY, write_tree
from bench.sonic.unet import measure_unet
from stages.infer.sonic.model import DTYPES
from stages.infer.sonic.networks import load_networks
from stages.infer.sonic.weights.tree import open_tree

PARTS = ("unet", "decode", "fits", "cold")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m bench.sonic", description=__doc__)
    gpu = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda:0" if gpu else "cpu")
    parser.add_argument("--config", choices=("official", "tiny"), default="official" if gpu else "tiny")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="fp16" if gpu else "fp32")
    parser.add_argument("--side", type=int, default=512 if gpu else 128, help="pixels of the square picture")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure, comma-separated")
    parser.add_argument("--no-compile", action="store_true", help="leave out what takes minutes to compile")
    parser.add_argument("--json", type=Path, help="write the record there")
    options = parser.parse_args()
    device, dtype = torch.device(options.device), DTYPES[options.dtype]
    config = OFFICIAL if options.config == "official" else TINY
    parts, side, compiled = options.parts.split(","), options.side, device.type == "cuda" and not options.no_compile
    if device.type == "cpu":
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    figures: dict[str, Any] = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "config": options.config,
        "dtype": options.dtype,
        "picture": f"{side}x{side}",
    }
    with tempfile.TemporaryDirectory() as folder:
        figures["weights_bytes"] = write_tree(Path(folder), config)
        if "cold" in parts:
            figures["cold_start"] = [
                measure_start(folder, options, choice) for choice in ((0, 1) if compiled and gpu else (0,))
            ]
        networks = load_networks(open_tree(Path(folder)), device, dtype)
        figures["parameters"] = sum(p.numel() for p in networks.unet.parameters())
        if "unet" in parts:
            figures["unet"] = measure_unet(
                networks, config, side, side, options.repeats, compiled and device.type == "cuda"
            )
        if "decode" in parts:
            figures["decode"] = measure_decoding(networks, config, side, side, options.repeats)
        if "fits" in parts and device.type == "cuda":
            figures["fits"] = measure_fits(networks, config)
    emit("sonic", figures)


def measure_start(folder: str, options: argparse.Namespace, compiled: int) -> dict[str, Any]:
    """Measure a start in a process of its own; the files are in the page cache."""
    command = [sys.executable, "-m", "bench.sonic.cold", str(time.time()), folder, options.device, options.dtype]
    completed = subprocess.run([*command, str(compiled)], check=True, stdout=subprocess.PIPE, text=True)
    row: dict[str, Any] = {"compiled": bool(compiled)} | json.loads(completed.stdout)
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
