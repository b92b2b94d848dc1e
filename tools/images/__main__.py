"""``python -m tools.images build|sizes|base|infra``: what `make images`, `images-base` and `images-infra` run."""

import argparse
import subprocess
import sys
from pathlib import Path

from tools.images import base, infra
from tools.images.build import build, sizes, table
from tools.images.engine import Engine, EngineError, find
from tools.images.targets import ROOT, selected


def main() -> int:
    """Run one command; exit status 1: an image is too large, or could not be built."""
    parser = argparse.ArgumentParser(prog="python -m tools.images", description=__doc__)
    parser.add_argument("command", choices=("build", "sizes", "base", "infra"))
    parser.add_argument("target", nargs="?", help="one image; default: all but infer-sonic")
    parser.add_argument("--all", action="store_true", help="infer-sonic as well")
    parser.add_argument("--engine", choices=("docker", "podman"), help="default: the first that is installed")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "images", help="folder of the bills of materials")
    options = parser.parse_args()
    try:
        return run(options, find(options.engine))
    except (EngineError, ValueError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1


def run(options: argparse.Namespace, engine: Engine) -> int:
    """Run the chosen command. Raises EngineError, ValueError and CalledProcessError."""
    if options.command == "base":
        base.build_base(engine)
        return 0
    if options.command == "infra":
        infra.build_infra(engine)
        return 0
    targets = selected(options.target, options.all)
    measured = build(engine, targets, options.out) if options.command == "build" else sizes(engine, targets)
    print(table(measured))
    return 0 if all(size.fits for size in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
