"""What the two benchmarks of the peers share: their options, and a folder that is gone afterwards."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.peers.instances import PEERS
from bench.throughput import Jobs

Figures = dict[str, Any]


def run(
    doc: str | None, default_jobs: int, measure: Callable[[list[str], Jobs, int, Path], Figures]
) -> tuple[argparse.Namespace, list[str], Figures]:
    """The options of the command line, the names of the peers, and the figures that ``measure`` returns for the peers,
    the jobs, the size of the batch and a folder."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=default_jobs)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated")
    parser.add_argument("--json")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # So that everything is ended.
    peers = options.peers.split(",")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        inputs = Path(name) / "inputs"
        inputs.mkdir()
        return options, peers, measure(peers, Jobs(inputs, options.size), options.jobs, Path(name))
