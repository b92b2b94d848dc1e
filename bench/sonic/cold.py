"""Measures seconds from the start of a process to its readiness, by part; runs as a program of its own.

``python -m bench.sonic.cold STARTED FOLDER DEVICE DTYPE COMPILED`` prints one JSON line. STARTED is the time before
the start.
"""

import json
import sys
import time


def main(arguments: list[str]) -> None:
    """Import, load and warm up."""
    parts = {"python_s": time.time() - float(arguments[0])}
    started = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal started
        parts[name] = time.perf_counter() - started
        started = time.perf_counter()

    import torch

    lap("import_torch_s")
    from pathlib import Path

    from stages.infer.sonic.model import DTYPES, Model, choose_device, warm_up
    from stages.infer.sonic.nets.unet.optimization import OptimizationFlags
    from stages.infer.sonic.networks import load_networks
    from stages.infer.sonic.weights.tree import open_tree

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
    optimization = OptimizationFlags(compiled=arguments[4] == "1", flat_convolution=arguments[4] == "1")
    networks.unet.apply_optimization(optimization)
    if device.type == "cuda":
        warm_up(Model(tree.config, networks, "", optimization))
    lap("warm_up_s")
    ready = time.time() - float(arguments[0])
    rounded = {name: round(seconds, 2) for name, seconds in (parts | {"ready_s": ready}).items()}
    print(json.dumps(rounded | {"load_by_part_s": {part: round(seconds, 2) for part, seconds in loaded.items()}}))


if __name__ == "__main__":
    main(sys.argv[1:])
