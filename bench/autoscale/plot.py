"""Draws the simulated days: requests, replicas of infer, waits. Needs matplotlib (dependency group ``docs``)."""

from collections.abc import Sequence
from pathlib import Path

from bench.autoscale.scenarios import Day
from bench.autoscale.simulation import Result, quantile
from bench.autoscale.traffic import DAY_S

BIN_S = 900.0
LAG_COLOUR, FIXED_COLOUR, REQUEST_COLOUR = "#0072b2", "#d55e00", "#666666"
"""Distinguishable with every form of colour vision."""


def by_time(day: Day, values: Sequence[float], share: float) -> list[float]:
    """The quantile of the jobs that are requested in each quarter of an hour; 0 without any."""
    bins: list[list[float]] = [[] for _ in range(round(DAY_S / BIN_S))]
    for job, value in zip(day.jobs, values, strict=True):
        bins[int(job.at / BIN_S)].append(value)
    return [quantile(each, share) if each else 0.0 for each in bins]


def draw(days: Sequence[tuple[Day, Result, int, Result]], stage: str, file: Path) -> None:
    """One column a day: its autoscaled result, and that of a fixed number. Raises ImportError without matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "lipstage"  # The same picture is the same file.
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, len(days), figsize=(11, 7.5), sharex=True, squeeze=False)
    hours = [number * BIN_S / 3600 for number in range(round(DAY_S / BIN_S))]
    for column, (day, scaled, count, fixed) in enumerate(days):
        requests, replicas, waits = (row[column] for row in axes)
        counts = [0] * len(hours)
        for job in day.jobs:
            counts[int(job.at / BIN_S)] += 1
        requests.fill_between(hours, [n / (BIN_S / 60) for n in counts], step="post", color=REQUEST_COLOUR)
        requests.set_title(f"{day.name}, {day.partitions} partitions")
        times, numbers = zip(*((at / 3600, n) for at, n in scaled.stages[stage].replicas if at <= DAY_S), strict=True)
        hours_used = scaled.stages[stage].hours
        replicas.step(times, numbers, where="post", color=LAG_COLOUR, label=f"by lag: {hours_used:.0f} GPU h")
        replicas.axhline(count, color=FIXED_COLOUR, linestyle="--", label=f"fixed: {24 * count} GPU h")
        for result, colour, style, label in (
            (scaled, LAG_COLOUR, "-", "by lag"),
            (fixed, FIXED_COLOUR, "--", f"{count} fixed"),
        ):
            minutes = [value / 60 for value in by_time(day, result.waits, 0.95)]
            waits.step(hours, minutes, where="post", color=colour, linestyle=style, label=label)
        waits.set_xlabel("hour of the day")
        for axis in (replicas, waits):
            axis.legend(loc="upper left", frameon=False)
        for axis in (requests, replicas, waits):
            # Room for the legend.
            axis.set_ylim(0, axis.get_ylim()[1] * (1 if axis is requests else 1.35))
            axis.set_xlim(0, 24)
            axis.grid(alpha=0.3)
        waits.set_xticks(range(0, 25, 4))
    for row, label in zip(axes, ("requests a minute", f"replicas of {stage}", "wait p95, minutes"), strict=True):
        row[0].set_ylabel(label)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=90)
    pyplot.close(figure)
