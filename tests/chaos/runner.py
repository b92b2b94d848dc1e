"""Runs rows, checks what each left behind and prints one line for each."""

import shutil
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.checker import CHECKS, Report, check
from tests.chaos.history import History
from tests.chaos.rig import Rig
from tests.chaos.rows.table import Outcome, Row, Skipped
from tests.conftest import Infrastructure

LINE = "{:4} {:52} {:>4} {:28} {:>6}  {:>6}  {}"
HEAD = LINE.format("row", "fault", "jobs", "ends", "checks", "s", "result")


@dataclass
class Result:
    """What one row showed."""

    row: Row
    jobs: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    report: Report | None = None
    outcome: Outcome = field(default_factory=Outcome)
    seconds: float = 0.0
    skipped: str = ""

    @property
    def ok(self) -> bool:
        return bool(self.skipped) or (self.report is not None and not self.report.failed and not self.outcome.failures)

    def lines(self) -> list[str]:
        """The row's line of the table, then what failed."""
        state = f"skipped: {self.skipped}" if self.skipped else "ok" if self.ok else "FAILED"
        ends = ", ".join(f"{number} {name}" for name, number in self.ends.most_common())
        passed = f"{len(CHECKS) - len(self.report.failed)}/{len(CHECKS)}" if self.report is not None else ""
        lines = [LINE.format(self.row.number, self.row.fault, self.jobs, ends, passed, f"{self.seconds:.1f}", state)]
        lines += [f"     {figure}" for figure in self.outcome.figures]
        lines += [f"     expected otherwise: {failure}" for failure in self.outcome.failures]
        if self.report is not None and self.report.failed:
            lines += [f"     {line}" for line in self.report.lines() if not line.endswith(" ok")]
        return lines


def run(row: Row, infrastructure: Infrastructure, folder: Path, seed: int, **environment: str) -> Result:
    """Run one row on services of its own; ``environment`` is added to theirs. The seed of a row depends on its number,
    so that a row runs alone as it ran among others."""
    result = Result(row)
    start = time.monotonic()
    place = folder / row.number
    shutil.rmtree(place, ignore_errors=True)
    rig = Rig(infrastructure, place, zlib.crc32(f"{seed}/{row.number}".encode()))
    rig.fleet.environment |= environment
    try:
        try:
            row.run(rig, result.outcome)
            rig.await_quiet()
        except Skipped as reason:
            result.skipped = str(reason)
        except Exception:  # noqa: BLE001 - whatever a row raises is its result, and the others still run
            result.outcome.failures.append(traceback.format_exc())
        if not result.skipped:
            _examine(rig.finish(), result)
    except Exception:  # noqa: BLE001 - a history that can't be read is a result, too
        result.outcome.failures.append(traceback.format_exc())
    finally:
        rig.close()
    result.seconds = time.monotonic() - start
    return result


def _examine(history: History, result: Result) -> None:
    result.jobs = len(history.jobs)
    for job in history.jobs:
        ends = history.ends(job)
        result.ends[ends[-1].get("code", ends[-1]["type"]) if ends else "no end"] += 1
    result.report = check(history)


def run_all(rows: Sequence[Row], infrastructure: Infrastructure, folder: Path, seed: int) -> list[Result]:
    """Run the rows one after the other; prints the table while it grows."""
    print(f"seed {seed}\n{HEAD}", flush=True)
    results = []
    for row in rows:
        results.append(run(row, infrastructure, folder, seed))
        print("\n".join(results[-1].lines()), flush=True)
    return results
