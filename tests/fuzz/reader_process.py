"""The process that reads hostile inputs: limited as a worker process is; it mutates them itself and counts endings.

Its parent (`campaign`) learns from a shared number which input it reads, and finds that input in a file, whatever
becomes of this process.
"""

import faulthandler
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from shared.slot import limits
from shared.slot.confinement import landlock, policy, system_calls
from shared.slot.confinement.landlock import Access
from tests.conftest import ROOT
from tests.fuzz.finding import kind_of, save
from tests.fuzz.target import CPU_S, Target
from tests.fuzz.targets import targets

INPUT = "input"
STACK = "stack"
"""Where the Python stack of a crash is written."""
MAX_POOL = 200
FILE_MB = 512
REPORT_S = 1.0
SAMPLES = ROOT / "samples"
MEDIA = ("audio", "face", "frames")
"""Groups that worker processes read: their targets are read under the confinement of one."""


@dataclass
class Tally:
    """What has happened to the inputs of one target."""

    executions: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    """CPU."""
    peak_mb: int = 0
    """Resident memory of the process that read them, the libraries included."""

    def add(self, other: "Tally") -> None:
        """Count the other's inputs as well."""
        self.executions += other.executions
        self.endings += other.endings
        self.slowest_s = max(self.slowest_s, other.slowest_s)
        self.peak_mb = max(self.peak_mb, other.peak_mb)


@dataclass(frozen=True)
class Plan:
    """What one process has to do."""

    prefix: str
    """Name of a target or of a group."""
    seed: int
    first: int
    """Number of the first input: an input depends on its number and on the ones before it."""
    last: int | None
    """Number after the last input; None: as many as fit into ``seconds``."""
    seconds: float | None
    folder: Path
    """For its input and the output of what reads it."""
    findings: Path
    cpu_s: float = CPU_S
    """The longest that an input may take, seconds of CPU."""
    corpus: Path | None = None
    """Set: the files below it are the inputs, in folders named after targets."""


def confine_files(plan: Plan) -> Callable[[], None]:
    """Before the media libraries are loaded, which start threads: keep files to read, and the plan's folders to write.

    Returns what restricts the system calls once they are loaded. Where the machine has neither, it says so.
    """
    plan.findings.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(plan.folder)
    rules = policy.rules(plan.folder, __name__, [SAMPLES, *([plan.corpus] if plan.corpus else [])])
    try:
        seccomp = system_calls.library()
        landlock.restrict({**rules, plan.folder: Access.WRITE, plan.findings: Access.WRITE})
    except (ImportError, OSError, RuntimeError) as error:
        print(f"readers are not confined: {error}", file=sys.stderr)
        return lambda: None
    return lambda: system_calls.restrict(seccomp)


def limit(memory_mb: int) -> None:
    """The limits of a worker process."""
    limits.no_core_dumps()
    limits.limit_files(FILE_MB)
    if memory_mb:
        limits.limit_memory(memory_mb)


class Inputs:
    """The inputs of a plan, by number: the files of its corpus, or the seeds as they are and then mutations."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.targets = list(targets(plan.prefix))
        self._files: list[tuple[Target, Path]] = []
        if plan.corpus is not None:
            named = {target.name: target for target in self.targets}
            paths = sorted(path for path in plan.corpus.glob("*/*") if path.parent.name in named and path.is_file())
            self._files = [(named[path.parent.name], path) for path in paths]
        self._seeds = {t.name: tuple(t.seeds()) for t in self.targets} if plan.corpus is None else {}
        self._pools = {name: list(seeds) for name, seeds in self._seeds.items()}

    def target(self, number: int) -> Target:
        """Whose input it is: the targets take turns."""
        return self._files[number][0] if self._files else self.targets[number % len(self.targets)]

    def data(self, number: int) -> bytes:
        """The input; the seeds come first, since they must be read as well."""
        if self._files:
            return self._files[number][1].read_bytes()
        target, own = self.target(number), number // len(self.targets)
        pool, seeds = self._pools[target.name], self._seeds[target.name]
        if own < len(seeds):
            return seeds[own]
        rng = random.Random(f"{self._plan.seed}/{target.name}/{number}")
        return target.mutate(rng, rng.choice(pool), pool)

    def keep(self, target: Target, data: bytes) -> None:
        """Mutate this input as well: it reached something new, and what is like it may reach more."""
        pool = self._pools.get(target.name)
        if pool is not None and len(pool) < MAX_POOL:
            pool.append(data)


def read_inputs(plan: Plan, number: Any, pipe: Connection) -> None:
    """Entry point of the process: sends tallies by target, about once a second and at its end."""
    confine_calls = confine_files(plan) if plan.prefix.partition(".")[0] in MEDIA else lambda: None
    inputs = Inputs(plan)
    stack = (plan.folder / STACK).open("w")
    faulthandler.enable(stack)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # What an input of too much CPU ends with.
    limit(max(target.memory_mb for target in inputs.targets))
    confine_calls()
    tallies = {target.name: Tally() for target in inputs.targets}
    reported = time.monotonic()
    for current in _numbers(plan):
        target, data = inputs.target(current), inputs.data(current)
        number.value = current
        tally = tallies[target.name]
        ending = _read(target, data, plan, tally)
        if ending is not None and ending not in tally.endings:
            inputs.keep(target, data)
        tally.endings[ending or "finding"] += 1
        if time.monotonic() - reported > REPORT_S:
            pipe.send(_taken(tallies))
            reported = time.monotonic()
    pipe.send(_taken(tallies))
    pipe.send(None)


def _numbers(plan: Plan) -> Iterator[int]:
    end = time.monotonic() + (plan.seconds or 0)
    current = plan.first
    while current < plan.last if plan.last is not None else time.monotonic() < end:
        yield current
        current += 1


def _read(target: Target, data: bytes, plan: Plan, tally: Tally) -> str | None:
    """How the input ended; None for a finding."""
    path = plan.folder / INPUT
    path.write_bytes(data)
    signal.setitimer(signal.ITIMER_PROF, plan.cpu_s)
    started = time.process_time()
    ending: str | None = None
    try:
        ending = target.run(path)
    except BaseException as error:  # noqa: BLE001 - any exception is a finding
        signal.setitimer(signal.ITIMER_PROF, 0)
        save(plan.findings, target.name, kind_of(error), f"{error!r}"[:2000], data)
    signal.setitimer(signal.ITIMER_PROF, 0)
    tally.executions += 1
    tally.slowest_s = max(tally.slowest_s, time.process_time() - started)
    tally.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    for left in plan.folder.iterdir():
        if left.name not in (INPUT, STACK):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    return ending


def _taken(tallies: dict[str, Tally]) -> dict[str, Tally]:
    taken = {name: Tally(t.executions, Counter(t.endings), t.slowest_s, t.peak_mb) for name, t in tallies.items()}
    for tally in tallies.values():
        tally.executions = 0
        tally.endings = Counter(dict.fromkeys(tally.endings, 0))  # What is known stays known.
    sys.stdout.flush()
    return taken
