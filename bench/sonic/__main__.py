"""``python -m bench.sonic``: what each saving is worth, what fits, how long a start takes.

With a GPU: random weights of the real size, 512 x 512, half precision. Without one: the tiny sizes on the CPU, where
only the loop's overhead can be seen. Run it with the sonic environment's Python.
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
from bench.sonic.decoding import decoding
from bench.sonic.fits import fits
from bench.sonic.tree import OFFICIAL, TINY, write_tree
from bench.sonic.unet import ways
from stages.infer.sonic.checkpoint import open_tree
from stages.infer.sonic.model import DTYPES
from stages.infer.sonic.networks import load_networks

PARTS = ("unet", "decode", "fits", "cold")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m bench.sonic", description=__doc__)
    gpu = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda:0" if gpu else "cpu")
    parser.add_argument("--sizes", choices=("official", "tiny"), default="official" if gpu else "tiny")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="fp16" if gpu else "fp32")
    parser.add_argument("--side", type=int, default=512 if gpu else 128, help="pixels of the square picture")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure, comma-separated")
    parser.add_argument("--no-compile", action="store_true", help="leave out what takes minutes to compile")
    parser.add_argument("--json", type=Path, help="write the record there")
    options = parser.parse_args()
    device, dtype = torch.device(options.device), DTYPES[options.dtype]
    sizes = OFFICIAL if options.sizes == "official" else TINY
    wanted, side, compiled = options.parts.split(","), options.side, not options.no_compile
    if device.type == "cpu":
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    figures: dict[str, Any] = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "sizes": options.sizes,
        "dtype": options.dtype,
        "picture": f"{side}x{side}",
    }
    with tempfile.TemporaryDirectory() as folder:
        figures["weights_bytes"] = write_tree(Path(folder), sizes)
        if "cold" in wanted:
            figures["cold_start"] = [cold(folder, options, choice) for choice in ((0, 1) if compiled and gpu else (0,))]
        networks = load_networks(open_tree(Path(folder)), device, dtype)
        figures["parameters"] = sum(p.numel() for p in networks.unet.parameters())
        if "unet" in wanted:
            figures["unet"] = ways(networks, sizes, side, side, options.repeats, compiled and device.type == "cuda")
        if "decode" in wanted:
            figures["decode"] = decoding(networks, sizes, side, side, options.repeats)
        if "fits" in wanted and device.type == "cuda":
            figures["fits"] = fits(networks, sizes)
    emit("sonic", figures)


def cold(folder: str, options: argparse.Namespace, compiled: int) -> dict[str, Any]:
    """One start in a process of its own; the files are in the page cache by then."""
    command = [sys.executable, "-m", "bench.sonic.cold", str(time.time()), folder, options.device, options.dtype]
    done = subprocess.run([*command, str(compiled)], check=True, stdout=subprocess.PIPE, text=True)
    row: dict[str, Any] = {"compiled": bool(compiled)} | json.loads(done.stdout)
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
