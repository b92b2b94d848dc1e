"""A simulated day under KEDA's and the HPA's rules, against fixed numbers of replicas; and the choice of values.

    .venv/bin/python -m bench.autoscale.day [--plot FILE.svg] [--markdown] [--no-sweep] [--json FILE]

2000 videos over a working day, and 20 000 of which three in ten come as batches; a replica needs 60 s to start. Times
of tasks: `bench.autoscale.tasks`. ``--markdown`` prints the tables of docs/autoscaling.md in place of the record. The
seed is fixed: every machine prints the same figures.
"""

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.autoscale import plot, scenarios
from bench.autoscale.scenarios import Day
from bench.autoscale.simulation import Control, Result, simulate, summary
from bench.autoscale.tasks import PIPELINES, SONIC
from bench.record import emit

INFER = SONIC.name
COLUMNS = {
    "wait_p50_s": "wait p50",
    "wait_p95_s": "wait p95",
    "wait_max_s": "longest",
    "total_p95_s": "total p95",
    "most_replicas": "most replicas",
    "replica_hours": "replica h",
    "starts": "starts",
    "interrupted": "interrupted",
}
Figures = Mapping[str, float | int]


def run(day: Day, infer: Control | None = None) -> Result:
    """The day with the engine sonic; ``infer`` replaces the chosen values of infer."""
    return simulate(day.jobs, PIPELINES["sonic"], scenarios.controls("sonic", day.partitions, infer), day.partitions)


def peers(day: Day, scaled: Result) -> dict[int, Result]:
    """Fixed numbers of infer replicas: of as many GPU hours, and the fewest with no greater wait p95."""
    figures = summary(scaled, INFER)
    same = math.ceil(scaled.stages[INFER].hours / 24)
    found = {same: run(day, same)}
    low, high = same, day.partitions
    while low < high:
        middle = (low + high) // 2
        found[middle] = found.get(middle) or run(day, middle)
        if summary(found[middle], INFER)["wait_p95_s"] <= figures["wait_p95_s"]:
            high = middle
        else:
            low = middle + 1
    found[high] = found.get(high) or run(day, high)
    return {count: found[count] for count in (same, high)}


def sweep(day: Day) -> dict[str, Figures]:
    """Each variant's figures, infer alone."""
    return {
        variant.name: summary(
            simulate(day.jobs, (SONIC,), {INFER: variant.scaling}, day.partitions, deletion_cost=variant.deletion_cost),
            INFER,
        )
        for variant in scenarios.variants(day.partitions)
    }


def table(rows: Mapping[str, Figures], head: str) -> str:
    """The rows in Markdown."""
    lines = [f"| {head} | " + " | ".join(COLUMNS.values()) + " |", "| --- |" + " --- |" * len(COLUMNS)]
    lines += [
        f"| {name} | " + " | ".join(f"{figures[key]}" for key in COLUMNS) + " |" for name, figures in rows.items()
    ]
    return "\n".join(lines)


def other_stages(results: Mapping[str, Result]) -> dict[str, Figures]:
    """Figures of the stages beside infer."""
    return {
        f"{day}: {stage}": summary(result, stage)
        for day, result in results.items()
        for stage in result.stages
        if stage != INFER
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, help="an .svg or .png file")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--no-sweep", action="store_true")
    parser.add_argument("--json")
    options = parser.parse_args()
    days = scenarios.days()
    scaled = {day.name: run(day) for day in days}
    fixed = {day.name: peers(day, scaled[day.name]) for day in days}
    rows: dict[str, Figures] = {}
    for name, result in scaled.items():
        rows[f"{name}: by lag"] = summary(result, INFER)
        rows |= {f"{name}: {count} fixed": summary(one, INFER) for count, one in fixed[name].items()}
    others = other_stages(scaled)
    sweeps = {} if options.no_sweep else {day.name: sweep(day) for day in days}
    values = {work.name: scenarios.threshold(work) for works in PIPELINES.values() for work in works}
    if options.plot:
        first = {name: next(iter(one.items())) for name, one in fixed.items()}
        plot.draw([(day, scaled[day.name], *first[day.name]) for day in days], INFER, options.plot)
    if options.markdown:
        print(table(rows, "infer.sonic"), table(others, "stage"), sep="\n\n")
        for name, figures in sweeps.items():
            print("", table(figures, name), sep="\n")
        return
    record: dict[str, Any] = {"lag_thresholds": values, "days": rows, "other_stages": others, "sweep": sweeps}
    emit("autoscale_day", record)


if __name__ == "__main__":
    main()
