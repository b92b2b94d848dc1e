"""Seconds from the start of a process to its readiness, by part: run as a program of its own.

``python -m bench.sonic.cold STARTED FOLDER DEVICE DTYPE COMPILED`` prints one JSON line; STARTED is the clock before.
"""

import json
import sys
import time


def main(arguments: list[str]) -> None:
    """Import, load, warm up."""
    parts = {"python_s": time.time() - float(arguments[0])}
    begun = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal begun
        parts[name] = time.perf_counter() - begun
        begun = time.perf_counter()

    import torch

    lap("import_torch_s")
    from pathlib import Path

    from stages.infer.sonic.checkpoint import open_tree
    from stages.infer.sonic.model import DTYPES, Model, choose_device, warm_up
    from stages.infer.sonic.nets.unet.switches import Switches
    from stages.infer.sonic.networks import load_networks

    lap("import_engine_s")
    device = choose_device(arguments[2])
    torch.zeros(1, device=device)
    lap("device_s")
    loaded = {}
    tree = open_tree(Path(arguments[1]))
    networks = load_networks(
        tree, device, DTYPES[arguments[3]], on_part=lambda part: loaded.update({str(part.part): part.seconds})
    )
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    lap("load_s")
    switches = Switches(compiled=arguments[4] == "1", flat_convolution=arguments[4] == "1")
    networks.unet.apply_switches(switches)
    if device.type == "cuda":
        warm_up(Model(tree.sizes, networks, "", switches))
    lap("warm_up_s")
    whole = time.time() - float(arguments[0])
    rounded = {name: round(seconds, 2) for name, seconds in (parts | {"ready_s": whole}).items()}
    print(json.dumps(rounded | {"load_by_part_s": {part: round(seconds, 2) for part, seconds in loaded.items()}}))


if __name__ == "__main__":
    main(sys.argv[1:])
