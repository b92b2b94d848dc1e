"""A task waits for free disk space: a full scratch disk is the machine's fault, no record is dead-lettered for it."""

import math
import shutil
import time

import structlog

from shared.messages.codes import Code
from shared.messages.task import RenderTask
from shared.runtime.execute.scratch import DiskSpace, is_full
from shared.runtime.failures import DiskFull
from shared.runtime.waiting import Wait
from shared.slot.spec import StageSpec
from shared.storage.errors import NoSpace
from shared.storage.space import MIB

LOOK_S = 0.5
"""How often a task that waits looks for room."""
LOG_EVERY_S = 30.0
LONGEST_PAUSE_S = 60.0
"""Between two attempts that failed for want of space; each pause is twice the one before, the first one second."""
UNSEEN_S = 900.0
"""How long attempts may find a disk full that is not full when this process looks.

A quota shows when a file is written, as do inodes; what shows neither is a neighbour's burst, or a task that fills the
disk by itself. The one passes, the other must not hold its partition for ever.
"""

log = structlog.get_logger()


class Room:
    """The room one task needs. ``wait`` before every attempt, ``leave`` after it, ``failed`` if it found the disk full.

    Tasks of several slots may find room together and run out of it together. So one that has failed reckons with what
    the others may yet need: they would do it again, and again.
    """

    def __init__(self, disk: DiskSpace, spec: StageSpec, task: RenderTask) -> None:
        """Raises NoSpace when the task needs more than the whole file system has: waiting can't help it.

        Where every task of the stage needs the same, the machine is too small for the stage: then it waits, and the
        service says so, rather than to give up the whole queue.
        """
        self._disk = disk
        self._needed = spec.needs_bytes(task)
        self._failures = 0
        self._failure = ""
        self._next_at = -math.inf
        self._unseen_since: float | None = None
        self._alone = spec.needs_vary
        total = shutil.disk_usage(disk.folder).total - disk.reserve_mb * MIB
        if self._alone and self._needed > total:
            raise NoSpace(
                f"the task needs {self._needed // MIB} MiB of disk, the file system has {total // MIB} and its reserve"
            )

    def wait(self) -> None:
        """Return once there is room. Raises Abandoned, JobCancelled, OSError, NoSpace as ``_fits_never``."""
        logged_at = -math.inf
        with Wait() as wait:
            try:
                while (reason := self._taken_or_why_not()) is not None:
                    if self._fits_never(wait.seconds):
                        raise NoSpace(f"only this task finds no room, for {UNSEEN_S / 60:.0f} minutes: {reason}")
                    if wait.seconds - logged_at >= LOG_EVERY_S:
                        logged_at = wait.seconds
                        log.warning(
                            "waiting_for_space",
                            stage=wait.task.stage,
                            code=Code.NO_SPACE,
                            reason=reason,
                            failures=self._failures,
                            waited_s=round(wait.seconds, 1),
                            until="there is room",
                        )
                    self._disk.report(reason)
                    wait.show(Code.NO_SPACE, reason)
                    started = time.monotonic()
                    try:
                        wait.sleep(LOOK_S, yields=True)
                    finally:
                        self._disk.on_wait(time.monotonic() - started)
            finally:
                self._disk.report(None)

    def _fits_never(self, waited_s: float) -> bool:
        """Whether the disk has room for others, and this task alone waits: what lies there for good takes the rest."""
        return self._alone and waited_s > UNSEEN_S and not self._disk.taken and self._disk.lacking(0) is None

    def leave(self) -> None:
        """The attempt is over, and its files are gone."""
        self._disk.leave()

    def _taken_or_why_not(self) -> str | None:
        with self._disk.taking:
            reason = self._reason()
            if reason is None:
                self._disk.take(self._needed)
            return reason

    def _reason(self) -> str | None:
        lacking = self._disk.lacking(self._needed + (self._disk.taken if self._failures else 0))
        if lacking is not None or self._failures == 0:
            return lacking
        if time.monotonic() < self._next_at or is_full(self._disk.folder):
            return self._failure
        return None

    def failed(self, error: DiskFull) -> None:
        """An attempt found the disk full; what it wrote is gone. Raises NoSpace when that is so for too long unseen."""
        now = time.monotonic()
        seen = self._disk.lacking(self._needed) is not None or is_full(self._disk.folder)
        self._unseen_since = None if seen else self._unseen_since or now
        if self._unseen_since is not None and now - self._unseen_since > UNSEEN_S:
            raise NoSpace(f"the disk has room, and attempts find it full for {UNSEEN_S / 60:.0f} minutes: {error}")
        self._next_at = now + min(2.0**self._failures, LONGEST_PAUSE_S)
        self._failures += 1
        self._failure = str(error)
        log.warning("disk_full", reason=self._failure, failures=self._failures)
