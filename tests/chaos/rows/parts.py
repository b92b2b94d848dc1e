"""Rows 4, 5, 13, 19 and 20: the parts around a service fail: broker, group, dead-letter topic, clock, disk."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.local import processes
from shared.messages.pipeline import STAGES
from tests.chaos.features import HAS_RELAY
from tests.chaos.rig import Rig
from tests.chaos.rows.table import Outcome, Row, Skipped

HOUR_S = 3600
DISK_MB = 512
"""More than a short task needs: one that needs more than the whole disk fails at once."""


def killed_broker(rig: Rig, outcome: Outcome) -> None:
    """The broker freezes for three seconds, then it is killed and comes back, each time with jobs on the way."""
    rig.start(";".join(f"{stage}.put=delay=1" for stage in STAGES))
    jobs = [rig.submit() for _ in range(2)]
    rig.await_event(jobs[0], "started", "face")
    broker = rig.program("broker")
    processes.kill(broker, signal.SIGSTOP)
    time.sleep(3)
    processes.kill(broker, signal.SIGCONT)
    jobs.append(rig.submit())
    rig.await_event(jobs[2], "started", "face")
    processes.kill(broker)
    jobs.append(rig.submit())
    rig.await_ends(jobs, 240)
    ends = sum(rig.fleet.ended(name) for name in rig.fleet.services)
    outcome.figures.append(f"{ends} services were replaced")


def rebalance_storm(rig: Rig, outcome: Outcome) -> None:
    """One of three members leaves every two seconds, and comes back."""
    rig.start("face.put=delay=0.3", replicas={"face": 3})
    jobs = [rig.submit() for _ in range(8)]
    until, bounces = time.monotonic() + 14, 0
    while time.monotonic() < until:
        rig.fleet.signal(f"face-{bounces % 3}", signal.SIGTERM)
        bounces += 1
        time.sleep(2)
    rig.await_ends(jobs, 240)
    outcome.expect(not rig.records("render.dlq"), "a dead letter was written")
    starts = sum(rig.count(job, "started", "face") for job in jobs)
    outcome.figures.append(f"{bounces} bounces, {starts} starts of {len(jobs)} tasks")
    # A bounce may cost one start each: that is no lost attempt.
    rig.extra_starts = bounces


def missing_dead_letter_topic(rig: Rig, outcome: Outcome) -> None:
    """Dead letters can't be written: the service must not commit past their record, and go on once they can."""
    rig.start(LIPSTAGE_DRAIN_S="1")
    rig.delete_topics(["render.dlq"])
    place = rig.send("render.face", b"not a task", b"unknown-job")
    job = rig.submit()
    rig.fleet.await_starts("face-0", 1)
    committed = {
        topic: offset for (_, topic, number), offset in rig.committed().items() if (topic, number) == place[:2]
    }
    outcome.expect(committed.get("render.face", 0) <= place[2], f"committed past the poison record: {committed}")
    rig.make_topics(["render.dlq"])
    rig.await_ends([job], 240)
    rig.await_records("render.dlq", 1)
    outcome.figures.append(f"face ended {rig.fleet.ended('face-0')} times while the topic was missing")


def wrong_clocks(rig: Rig, outcome: Outcome) -> None:
    """Clocks an hour ahead and behind, and one record that has to be retried under them."""
    if not HAS_RELAY:
        raise Skipped("this code has no relay")
    failed = rig.folder / "failed"
    failed.mkdir()
    once = {stage: failed / stage for stage in ("face", "encode")}
    faults = ";".join(f"{stage}.put=raise=StoreUnavailable,once={file}" for stage, file in once.items())
    for name, seconds in (("audio", HOUR_S), ("face", -HOUR_S), ("infer", HOUR_S), ("encode", -HOUR_S)):
        rig.fleet.add(name, LIPSTAGE_FAULTS=faults, CHAOS_CLOCK_S=str(seconds))
    rig.fleet.add("relay", CHAOS_CLOCK_S=str(HOUR_S))
    rig.start(faults)
    jobs = [rig.submit() for _ in range(2)]
    rig.await_ends(jobs)
    rig.fleet.change("relay-0", CHAOS_CLOCK_S=str(-HOUR_S))
    rig.fleet.restart("relay-0")
    once["face"].unlink()
    jobs.append(rig.submit())
    rig.await_ends(jobs)
    outcome.expect(len(rig.retries()) >= 2, "nothing was retried")
    negative = [e for e in rig.events() if e["type"] == "finished" and e["seconds"] < 0]
    outcome.expect(not negative, f"negative durations: {negative}")


def full_disk(rig: Rig, outcome: Outcome) -> None:
    """Another program fills the disk of a stage; the task waits, and goes on when there is room."""
    with small_disk(rig.folder / "disk") as disk:
        rig.fleet.add("encode", TMPDIR=str(disk))
        rig.start()
        filler = disk / "other-program"
        filler.write_bytes(b"x" * (DISK_MB * 2**20 - 64 * 1024))
        job = rig.submit()
        rig.await_event(job, "waiting", "encode")
        filler.unlink()
        rig.await_ends([job])
        outcome.expect(rig.fleet.ended("encode-0") == 0, "the service was replaced")
        rig.fleet.stop("encode-0")
        outcome.expect(not any(disk.iterdir()), f"left on the disk: {list(disk.rglob('*'))}")


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of DISK_MB. Raises Skipped where none can be mounted."""
    if os.geteuid() != 0:
        raise Skipped("only root may mount a small file system")
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skipped(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


ROWS = (
    Row("4", "broker frozen for 3 s, then SIGKILL", killed_broker, short=True),
    Row("5", "a member leaves or joins every 2 s", rebalance_storm),
    Row("13", "dead-letter topic missing", missing_dead_letter_topic),
    Row("19", "clocks an hour ahead and behind", wrong_clocks),
    Row("20", "full disk", full_disk),
)
