"""`make soak MINUTES=30`: random faults at 80 % of the load that the services can take; prints what grows.

``python -m tests.chaos.soak [--minutes N] [--seed N]``
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from shared.local import processes
from tests.chaos.__main__ import infrastructure
from tests.chaos.checker import check
from tests.chaos.growth import Growth
from tests.chaos.rig import Rig
from tests.chaos.wire_proxy import WireFault

LOAD = 0.8
CALIBRATION_JOBS = 12
FAULT_EVERY_S = 20.0
FROZEN_S = 3.0
MAX_MEMORY_SLOPE = 1.0
"""MiB a minute."""
MAX_FILE_SLOPE = 0.5
"""Descriptors a minute."""
STEP_S = 0.25
SAMPLE_S = 5.0


class Soak:
    """One run on one rig."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._growth = Growth(rig.fleet)
        self._jobs: list[str] = []
        self._resume: list[threading.Timer] = []
        self.faults = Counter[str]()

    def run(self, minutes: float) -> list[str]:
        """Calibrate, then submit jobs and inject faults for ``minutes``; returns what did not hold."""
        rig = self._rig
        rig.extra_starts = 3
        rig.start(**rig.use_proxy())
        rate = self._calibrate()
        end = time.monotonic() + minutes * 60
        next_job = next_fault = next_sample = time.monotonic()
        while (now := time.monotonic()) < end:
            if now >= next_job:
                self._jobs.append(rig.submit())
                next_job += rig.random.expovariate(LOAD * rate)
            if now >= next_fault:
                self._break()
                next_fault = now + FAULT_EVERY_S * rig.random.uniform(0.5, 1.5)
            if now >= next_sample:
                self._growth.sample()
                next_sample = now + SAMPLE_S
            time.sleep(STEP_S)
        for timer in self._resume:
            timer.join()
        rig.proxy.heal()
        print(f"{len(self._jobs)} jobs submitted, faults: {dict(self.faults)}", flush=True)
        ends = Counter(rig.await_ends(self._jobs, 300 + 60 * minutes).values())
        rig.await_quiet(120)
        print(f"ends: {dict(ends)}", flush=True)
        return self._grown()

    def _calibrate(self) -> float:
        """Jobs a second when there are always some that wait."""
        rig = self._rig
        rig.await_ends([rig.submit()])
        start = time.monotonic()
        self._jobs = [rig.submit() for _ in range(CALIBRATION_JOBS)]
        rig.await_ends(self._jobs, 300)
        rate = CALIBRATION_JOBS / (time.monotonic() - start)
        print(f"the services do {rate * 60:.1f} jobs a minute; load {LOAD * rate * 60:.1f}", flush=True)
        return rate

    def _break(self) -> None:
        """Inject one random fault."""
        rig, choice = self._rig, self._rig.random.choice
        name = choice(sorted(rig.fleet.services))
        wire = [
            WireFault("503", times=20),
            WireFault("cut reply", times=3),
            WireFault("truncated body", "GET", times=3),
            WireFault("flipped byte", "GET", ".*/jobs/.*", times=3),
            WireFault("delay", times=10, seconds=1.0),
        ]
        kind = choice(["kill", "worker", "term", "stop", "broker stop", "broker kill", "store stop", *["wire"] * 5])
        if kind == "kill":
            rig.fleet.signal(name, signal.SIGKILL)
        elif kind == "term":
            rig.fleet.signal(name, signal.SIGTERM)
        elif kind == "stop":
            rig.fleet.signal(name, signal.SIGSTOP)
            self._later(lambda: rig.fleet.signal(name, signal.SIGCONT))
        elif kind == "worker":
            for pid in rig.fleet.workers(name) if name in rig.fleet.processes() else []:
                if (process := processes.identify(pid)) is not None:
                    processes.kill(process)
        elif kind == "broker kill":
            processes.kill(rig.program("broker"))
        elif kind == "wire":
            fault = choice(wire)
            rig.proxy.faults.append(fault)
            kind = fault.kind
        else:
            process = rig.program(kind.split()[0])
            processes.kill(process, signal.SIGSTOP)
            self._later(lambda: processes.kill(process, signal.SIGCONT))
        self.faults[kind] += 1

    def _later(self, action: Callable[[], None]) -> None:
        # In a thread of its own: this one may be waiting for the program that is stopped.
        self._resume.append(threading.Timer(FROZEN_S, action))
        self._resume[-1].start()

    def _grown(self) -> list[str]:
        failures = []
        print(f"{'service':12} {'MiB/min':>8} {'files/min':>10} {'minutes':>8}")
        for name, (memory, files, minutes) in sorted(self._growth.slopes().items()):
            print(f"{name:12} {memory:8.2f} {files:10.2f} {minutes:8.1f}")
            if memory > MAX_MEMORY_SLOPE:
                failures.append(f"{name} grows by {memory:.2f} MiB a minute")
            if files > MAX_FILE_SLOPE:
                failures.append(f"{name} opens {files:.2f} more descriptors a minute")
        return failures


def main() -> int:
    """Soak; 0 when nothing grew and every check passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"seed {options.seed}, {options.minutes:g} minutes")
    with infrastructure(folder / "stack") as parts:
        rig = Rig(parts, folder / "rig", options.seed)
        try:
            failures = Soak(rig).run(options.minutes)
            report = check(rig.finish())
        finally:
            rig.close()
    print("\n".join([*report.lines(), *failures]))
    if failures or report.failed:
        print(f"logs of the services: {folder / 'rig'}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
