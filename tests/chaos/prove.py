"""Shows that the checker finds faults of the runtime: ``python -m tests.chaos.prove [--breaks NAME,...]``.

For each break of `mutations` it runs the smallest row that can show it, first on the sound runtime, where every check
must pass, then on the broken one, where the named check must not.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.__main__ import infrastructure
from tests.chaos.features import HAS_RELAY
from tests.chaos.mutations import BREAKS
from tests.chaos.rig import Rig
from tests.chaos.rows.records import HOSTILE
from tests.chaos.rows.table import Outcome, Row, Skipped
from tests.chaos.runner import Result, run
from tests.conftest import Infrastructure

LINE = "{:24} {:56} {:36} {}"


def die_in_the_work(rig: Rig, outcome: Outcome) -> None:
    """The face service dies in the work of a job, a second after its start; then another job is done."""
    rig.start(f"face.put=delay=4,job=victim-*,once={rig.folder / 'late'};face.work=kill=3,once={rig.folder / 'killed'}")
    rig.submit("victim")
    rig.fleet.await_starts("face-0", 1)
    rig.await_ends([rig.submit()])


def die_after_publish(rig: Rig, outcome: Outcome) -> None:
    """The infer service dies after it has published a task."""
    rig.start(f"infer.after_publish=kill,once={rig.folder / 'killed'}")
    rig.await_ends([rig.submit()])


def die_with_a_slow_task(rig: Rig, outcome: Outcome) -> None:
    """Of two slots one is slow, while the other settles the records behind; then the service dies."""
    # In turn: the least loaded partition is never that of the slow task, and behind it is where records are lost.
    rig.fleet.add("audio", LIPSTAGE_ROUTING="round-robin")
    for stage in ("infer", "encode"):
        rig.fleet.add(stage)
    late = rig.folder / "late"
    rig.fleet.add("face", LIPSTAGE_SLOTS="2", LIPSTAGE_FAULTS=f"face.put=delay=600,job=slow-*,once={late}")
    rig.start()
    rig.await_event(rig.submit("slow"), "started", "face")
    rig.await_ends([rig.submit() for _ in range(6)])
    rig.fleet.signal("face-0", signal.SIGKILL)
    rig.fleet.await_starts("face-0", 1)
    rig.fleet.await_ready()
    rig.await_ends([rig.submit()])


def retry_once(rig: Rig, outcome: Outcome) -> None:
    """A task fails once and is retried after a tier."""
    if not HAS_RELAY:
        raise Skipped("this code has no relay")
    rig.start(f"face.put=raise=StoreUnavailable,once={rig.folder / 'failed'}")
    rig.await_ends([rig.submit()])


def one_poison_record(rig: Rig, outcome: Outcome) -> None:
    """An unreadable record with headers that are hard to keep."""
    rig.start()
    rig.send("render.face", b"\xff", b"\xfe", HOSTILE)
    rig.await_records("render.dlq", 1)


ROWS = {
    "commit before publish": die_in_the_work,
    "marker after publish": die_after_publish,
    "prefix rule off": die_with_a_slow_task,
    "relay early": retry_once,
    "header bytes lost": one_poison_record,
}


def prove(name: str, parts: Infrastructure, folder: Path, seed: int) -> tuple[Result, Result]:
    """The row on the sound runtime, and on the broken one."""
    row = Row(name.replace(" ", "-"), BREAKS[name].what, ROWS[name])
    return run(row, parts, folder / "sound", seed), run(row, parts, folder / "broken", seed, CHAOS_BREAK=name)


def verdict(name: str, sound: Result, broken: Result) -> str:
    """What the two runs show; empty when the check has found the break, and only there."""
    if sound.skipped:
        return f"skipped: {sound.skipped}"
    if not sound.ok:
        return "FAILED: the sound runtime does not pass\n" + "\n".join(sound.lines())
    found = broken.report.failed if broken.report else []
    return "" if BREAKS[name].check in found else "FAILED: not found\n" + "\n".join(broken.lines())


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove each break; 0 when every one is found."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.prove")
    parser.add_argument("--breaks", default=",".join(ROWS), help="comma-separated; default: all")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args(arguments)
    folder, failed = Path(tempfile.mkdtemp(prefix="chaos-")), False
    print(f"seed {options.seed}\n" + LINE.format("break", "what is broken", "found by", ""))
    with infrastructure(folder / "stack") as parts:
        for name in options.breaks.split(","):
            sound, broken = prove(name, parts, folder / "rows", options.seed)
            result = verdict(name, sound, broken)
            found = ", ".join(broken.report.failed) if broken.report else ""
            print(LINE.format(name, BREAKS[name].what, found, result or "ok"), flush=True)
            failed = failed or result.startswith("FAILED")
    if not failed:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
