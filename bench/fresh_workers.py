"""What it costs that no worker process serves two tenants, or two tasks.

    .venv/bin/python -m bench.fresh_workers [--tasks 40] [--rounds 2] [--runs 10] [--json FILE]

Hops: three services with a trivial handler, which differ in LIPSTAGE_WORKER_REUSE, get tasks of two tenants in turns,
one at a time; once with a pause after each, in which the spare is started, and once without. Milliseconds from sending
a task to the next stage's. Target: tenant and never are slower than always by <= 10 ms at the median of the tasks with
a pause. Handlers: the stages audio and face work on the samples in a process that has worked before, and in a new one;
milliseconds until a process is started as a program, and forked by a template; its own memory. Starts its own stack.
"""

import argparse
import shutil
import statistics
import time
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

from bench.one_stage import OneStage, own_stack, serving
from bench.record import emit
from shared.messages.refs import InputRef
from shared.messages.request import RenderRequest
from shared.messages.task import RenderTask
from shared.runtime.execute.slot_worker import Reuse, SlotWorker
from shared.runtime.execute.worker_process import WorkerProcess
from shared.slot import records

MODES: tuple[Reuse, ...] = get_args(Reuse)
TARGET_MS = 10.0
PAUSE_S = 0.2
"""Enough to start a spare."""
SAMPLES = Path(__file__).resolve().parents[1] / "samples"
INPUTS = {"audio": ("speech", SAMPLES / "speech.wav"), "face": ("portrait", SAMPLES / "portrait.png")}
KB = 1024


def hops(service: OneStage, tasks: int, pause_s: float) -> list[float]:
    """Milliseconds of each task; their tenants alternate. The first two are not counted."""
    took = []
    for number in range(tasks + 2):
        time.sleep(pause_s)
        start = time.monotonic()
        took.append((service.wait(service.send(service.task(("a", "b")[number % 2]))) - start) * 1000)
    return took[2:]


def compared(tasks: int, rounds: int) -> dict[str, Any]:
    """The hops of the three services, in turns."""
    took: dict[str, dict[Reuse, list[float]]] = {
        kind: {mode: [] for mode in MODES} for kind in ("with_pause", "without_pause")
    }
    with own_stack() as settings, ExitStack() as stack:
        services = {
            mode: stack.enter_context(serving(settings, f"{mode}.", LIPSTAGE_WORKER_REUSE=mode)) for mode in MODES
        }
        for service in services.values():
            hops(service, 4, PAUSE_S)  # The first change of the tenant starts the template.
        for _ in range(rounds):
            for mode in (*MODES, *reversed(MODES)):  # A B C C B A: load on the machine affects all alike.
                took["with_pause"][mode] += hops(services[mode], tasks, PAUSE_S)
                took["without_pause"][mode] += hops(services[mode], tasks, 0.0)
    figures: dict[str, Any] = {}
    for kind, modes in took.items():
        p50 = {mode: statistics.median(times) for mode, times in modes.items()}
        figures[kind] = {f"{mode}_p50_ms": round(value, 1) for mode, value in p50.items()}
        figures[kind] |= {f"{mode}_p90_ms": round(statistics.quantiles(t, n=10)[8], 1) for mode, t in modes.items()}
        figures[kind] |= {f"{mode}_more_ms": round(p50[mode] - p50["always"], 1) for mode in ("tenant", "never")}
    return figures


def task(tenant: str) -> RenderTask:
    ref = InputRef(key=f"{tenant}/x")
    request = RenderRequest(tenant=tenant, portrait=ref, speech=ref)
    return RenderTask(job_id="job", request_id="r", request=request, submitted_ms=1)


def run(worker: SlotWorker, stage: str, tenant: str) -> tuple[float, float]:
    """Work on the sample; milliseconds of wall and CPU time."""
    start = time.monotonic()
    worker.prepare(tenant)
    took = time.monotonic() - start
    place = worker.folder
    assert place is not None
    role, sample = INPUTS[stage]
    shutil.copy(sample, place.inputs)  # As the service fetches it: a worker process can reach its own folder alone.
    with TemporaryDirectory(dir=place.work) as folder:
        work = records.Work(job=task(tenant), inputs={role: str(place.inputs / sample.name)}, scratch=folder)
        start = time.monotonic()
        result = worker.run(work, lambda _: None, lambda: False, 60.0)
        took += time.monotonic() - start
        if not isinstance(result, records.Finished):
            raise SystemExit(f"{stage}: {result}")
        return took * 1000, result.cpu_seconds * 1000


def own_memory(pid: int | None) -> int | None:
    """KiB that only this process has; None where another user's process can't be read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def handlers(stage: str, runs: int) -> dict[str, Any]:
    """A stage's handler on the sample, and the start of its processes."""
    spec = import_module(f"stages.{stage}").STAGE
    make = partial(WorkerProcess, spec, "puppet")
    used, new = (SlotWorker(stage, spec.handler, make, mode) for mode in ("always", "never"))
    try:
        program_s = used.start()
        alone_kib = own_memory(used.pid)
        new.start()
        forks, times = [], {"used": [run(used, stage, "a")], "new": [run(new, stage, "a")]}
        for number in range(runs):
            for name, worker in (("used", used), ("new", new)) if number % 2 else (("new", new), ("used", used)):
                if worker._spare is not None:
                    worker._spare.result()
                times[name].append(run(worker, stage, "a"))
            start = time.monotonic()
            another = new._submit("spare").result()
            forks.append((time.monotonic() - start) * 1000)
            another.kill()
        spare_kib = own_memory(new._spare.result().pid if new._spare is not None else None)
    finally:
        used.stop()
        new.stop()
    p50 = {name: [statistics.median(t) for t in zip(*values[1:], strict=True)] for name, values in times.items()}
    return {
        "used_p50_ms": round(p50["used"][0], 1),
        "new_p50_ms": round(p50["new"][0], 1),
        "more_ms": round(p50["new"][0] - p50["used"][0], 1),
        "more_cpu_ms": round(p50["new"][1] - p50["used"][1], 1),
        "program_start_ms": round(program_s * 1000),
        "fork_p50_ms": round(statistics.median(forks), 1),
        "program_own_mib": alone_kib and round(alone_kib / KB, 1),
        "spare_own_mib": spare_kib and round(spare_kib / KB, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json")
    options = parser.parse_args()
    figures: dict[str, Any] = {f"handler_{stage}": handlers(stage, options.runs) for stage in INPUTS}
    figures["hop"] = compared(options.tasks, options.rounds)
    more = [figures["hop"]["with_pause"][f"{mode}_more_ms"] for mode in ("tenant", "never")]
    emit("fresh_workers", {**figures, "target_ms": TARGET_MS, "met": max(more) <= TARGET_MS})


if __name__ == "__main__":
    main()
