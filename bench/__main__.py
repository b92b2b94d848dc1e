"""Runs the benchmarks of the catalogue, one after the other, and keeps their records: ``python -m bench [NAME...]``.

    .venv/bin/python -m bench [--quick] [--baseline CHECKOUT] [NAME...]

Records go to bench/results/NAME.json, from which ``tools.performance_page`` writes docs/performance.md; those of
``--quick``, which only shows that each benchmark works, go to out/bench. Without names: all but those that the
catalogue leaves to the reader. ``--baseline`` is passed to those that compare checkouts.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from bench.catalogue import CATALOGUE
from bench.record import HERE

RESULTS = HERE / "bench" / "results"
QUICK = HERE / "out" / "bench"
WITH_BASELINE = ("throughput", "realtime", "versions")


def command(name: str, quick: bool, baseline: Path | None, file: Path) -> list[str]:
    """The command of a benchmark. Raises SystemExit when its environment is missing."""
    benchmark = CATALOGUE[name]
    own = benchmark.environment == ".venv"
    python = Path(sys.executable) if own else HERE / benchmark.environment / "bin" / "python"
    if not python.is_file():
        raise SystemExit(f"bench.{name} needs {benchmark.environment}: see `make help`")
    options = [*(benchmark.quick if quick else benchmark.full)]
    if baseline is not None and name in WITH_BASELINE:
        options += ["--baseline", str(baseline)]
    return [str(python), "-m", benchmark.module(name), *options, "--json", str(file)]


def main() -> int:
    """Run them; the exit status is 1 when one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *CATALOGUE])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--baseline", type=Path, help="another checkout, set up by `make setup-dev`")
    options = parser.parse_args()
    baseline = None if options.baseline is None else options.baseline.resolve()
    folder = QUICK if options.quick else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in options.names or CATALOGUE:
        if not options.names and CATALOGUE[name].by_hand:
            print(f"{name}: left out, {CATALOGUE[name].by_hand}", flush=True)
            continue
        start = time.monotonic()
        words = command(name, options.quick, baseline, folder / f"{name}.json")
        done = subprocess.run(words, cwd=HERE, env={**os.environ, "PYTHONPATH": str(HERE)}, stdout=subprocess.DEVNULL)
        print(f"{name}: exit status {done.returncode}, {time.monotonic() - start:.0f} s", flush=True)
        if done.returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
