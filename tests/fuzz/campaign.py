"""Runs targets in child processes and outlives whatever their inputs do to them."""

import multiprocessing
import signal
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.fuzz.finding import Finding, save, saved
from tests.fuzz.reader_process import INPUT, STACK, Inputs, Plan, Tally, read_inputs
from tests.fuzz.target import CPU_S

HANG_S = 180.0
"""An input that neither ends nor uses CPU for so long hangs, wall clock."""
MAX_CRASHES = 30
START_S = 300.0


@dataclass
class Report:
    """What a campaign has found."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    crashes: int = 0
    """Processes that an input has ended."""

    @property
    def executions(self) -> int:
        return sum(tally.executions for tally in self.tallies.values())

    def add(self, tallies: dict[str, Tally]) -> None:
        """Count what a process has done."""
        for name, tally in tallies.items():
            self.tallies.setdefault(name, Tally()).add(tally)


def run(
    prefix: str, findings: Path, *, seed: int, executions: int | None = None, seconds: float | None = None
) -> Report:
    """Feed the targets with that prefix in turn, by number of inputs or by time. Findings are saved in ``findings``."""
    return _in_processes(Plan(prefix, seed, 0, executions, seconds, Path(), findings))


def replay(group: str, corpus: Path, findings: Path, cpu_s: float = CPU_S) -> Report:
    """Feed each target of a group with the files of the folder of its name."""
    files = sum(1 for path in corpus.glob(f"{group}.*/*") if path.is_file())
    return _in_processes(Plan(group, 0, 0, files, None, Path(), findings, cpu_s, corpus))


def _in_processes(plan: Plan) -> Report:
    """One process after the other: a new one after each input that ends one."""
    report = Report()
    end = time.monotonic() + (plan.seconds or 0)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        plan = replace(plan, folder=Path(folder))
        while report.crashes < MAX_CRASHES:
            last = _one_process(plan, report)
            if last is None:
                break
            report.crashes += 1
            plan = replace(plan, first=last + 1)
            if plan.seconds is not None:
                plan = replace(plan, seconds=end - time.monotonic())
            if (plan.last is not None and plan.first >= plan.last) or (plan.seconds or 1) <= 0:
                break
    report.findings = saved(plan.findings)
    return report


def _one_process(plan: Plan, report: Report) -> int | None:
    """The number of the input that ended the process; None when it has done all of its inputs."""
    spawn = multiprocessing.get_context("spawn")
    number = spawn.RawValue("q", -1)
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=read_inputs, args=(plan, number, sender), daemon=True)
    process.start()
    sender.close()
    before, since, hangs = -1, time.monotonic(), False
    with suppress(EOFError):
        while True:
            if receiver.poll(1.0):
                tallies = receiver.recv()
                if tallies is None:
                    process.join()
                    return None
                report.add(tallies)
            if number.value != before:
                before, since = number.value, time.monotonic()
            elif time.monotonic() - since > (HANG_S if before >= 0 else START_S):
                hangs = True
                process.kill()
    process.join()
    if number.value < plan.first:
        raise RuntimeError(f"the process that reads {plan.prefix or 'all'} did not start: exit code {process.exitcode}")
    kind = "no end" if hangs else _kind(process.exitcode or 0)
    stack = (plan.folder / STACK).read_text()[-2000:]
    data = (plan.folder / INPUT).read_bytes()
    name = Inputs(plan).target(number.value).name
    save(plan.findings, name, kind, stack, data)
    report.add({name: Tally(1)})
    return int(number.value)


def _kind(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit code {exit_code}"
    name = signal.Signals(-exit_code).name
    return "too much CPU" if name == "SIGPROF" else name


def table(reports: Iterable[Report]) -> str:
    """One line for each target."""
    lines = [f"{'target':28} {'inputs':>9} {'endings':>8} {'accepted':>9} {'slowest CPU':>12} {'peak':>8}"]
    for report in reports:
        for name, tally in sorted(report.tallies.items()):
            refused = ("refused", "damaged", "AUDIO_", "IMAGE_", "INVALID_", "MESSAGE_", "ENGINE_", "INPUT_", "finding")
            accepted = sum(count for ending, count in tally.endings.items() if not ending.startswith(refused))
            lines.append(
                f"{name:28} {tally.executions:9} {len(tally.endings):8} {accepted:9}"
                f" {tally.slowest_s:10.2f} s {tally.peak_mb:5} MB"
            )
    return "\n".join(lines)
