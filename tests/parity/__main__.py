"""``python -m tests.parity``: a table of every stored array and our distance from it in units of its tolerance.

Exit status 1 when one exceeds its tolerance or was not computed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from stages.infer.sonic.networks import load_networks
from stages.infer.sonic.weights.tree import open_tree
from tests.parity import stages, vectors
from tests.parity.comparison import Row, worst_difference
from tests.parity.golden import Golden
from tests.parity.model import Stages
from tests.parity.variants import ALL, PLAIN, VARIANTS, Variant
from tests.sonic.golden import make_tiny_checkpoint

PRECISIONS = {"fp32": torch.float32, "fp64": torch.float64}


def compared(
    golden: Golden, arrays: Iterable[tuple[str, Tensor]], prefix: str, precision: str, run: str, variant: Variant
) -> Iterator[Row]:
    """Rows for those of the computed arrays that are stored."""
    for name, tensor in arrays:
        if (stored := golden.arrays.get(f"{prefix}.{name}")) is not None:
            full = f"{prefix}.{name}"
            worst = worst_difference(tensor, stored, golden.tolerance(full), precision)
            yield Row(full, precision, run, variant.name, worst)


def compare_all(golden: Golden, tree: Path, device: str, variants: Iterable[Variant]) -> Iterator[Row]:
    """All comparisons: stages in both precisions, then each case's whole chain."""
    for precision, dtype in PRECISIONS.items():
        model = Stages(load_networks(open_tree(tree), device, dtype), golden)
        for variant in variants:
            yield from compared(golden, stages.alone(model, variant), "f64", precision, "stage", variant)
        yield from compared(golden, stages.long(model), "long", precision, "stage", PLAIN)
        for case in golden.cases:
            yield from compared(golden, stages.inputs(model, case), case.name, precision, "stage", PLAIN)
            yield from compared(golden, stages.schedule(case), case.name, precision, "stage", PLAIN)
            for variant in variants if precision == "fp32" else (PLAIN, ALL):
                yield from compared(golden, stages.loop(model, case, variant), case.name, precision, "stage", variant)
            if case.has("frames_sub"):
                yield from compared(golden, stages.video(model, case), case.name, precision, "stage", PLAIN)
            if precision == "fp32":
                for variant in (PLAIN, ALL):
                    yield from compared(
                        golden, stages.chain(model, case, variant), case.name, precision, "chain", variant
                    )


def missing(golden: Golden, rows: Iterable[Row]) -> Iterator[Row]:
    """A failing row for every stored array that was not computed."""
    seen = {row.array for row in rows}
    for name in golden.expected:
        if name not in seen:
            yield Row(name, "-", "-", "-", float("inf"), "not computed")


def table(rows: Iterable[Row]) -> str:
    """One line per array, precision and run, with the worst of all variants."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.array, row.precision, row.run), []).append(row)
    lines = [f"{'array':34} {'precision':9} {'run':6} {'worst / tolerance':>17}  of"]
    for (array, precision, run), group in groups.items():
        worst = max(group, key=lambda row: row.worst)
        note = worst.note or (worst.variant if len(group) == 1 else f"{len(group)} variants, worst: {worst.variant}")
        lines.append(
            f"{array:34} {precision:9} {run:6} {worst.worst:17.2g}  {note}{'' if worst.holds else '   EXCEEDS'}"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="sizes, cases and tensors")
    parser.add_argument("--golden", type=Path, required=True, help="stored arrays, npz")
    parser.add_argument("--tolerances", type=Path, required=True, help="tolerance of every array, JSON")
    parser.add_argument("--vectors", type=Path, help="integer and scalar vectors, JSON")
    parser.add_argument("--device", default="cpu", help="torch device")
    parser.add_argument(
        "--variants", default="", help=f"comma-separated; all: {', '.join(variant.name for variant in VARIANTS)}"
    )
    parser.add_argument("--json", type=Path, help="write all rows there")
    options = parser.parse_args(arguments)
    # The stored numbers are of full precision.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    golden = Golden.read(options.config, options.golden, options.tolerances)
    chosen = options.variants.split(",") if options.variants else [variant.name for variant in VARIANTS]
    variants = [variant for variant in VARIANTS if variant.name in chosen]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, make_tiny_checkpoint.__file__, "--config", str(options.config), "--out", folder]
        subprocess.run([*command, "--skip-unused"], check=True)
        results = list(compare_all(golden, Path(folder), options.device, variants))
    results += missing(golden, results)
    if options.vectors is not None:
        results += vectors.compare(json.loads(options.vectors.read_text()))
    print(table(results))
    failed = [row for row in results if not row.holds]
    print(f"{len(results) - len(failed)} comparisons hold, {len(failed)} do not")
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) | {"holds": row.holds} for row in results], indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
