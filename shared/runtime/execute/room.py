"""Waits for free disk space before a task runs. A full scratch disk is a fault of the machine: it causes no dead
letter."""

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

CHECK_S = 0.5
"""How often a waiting task checks for free space, seconds."""
LOG_EVERY_S = 30.0
LONGEST_PAUSE_S = 60.0
"""Longest pause between attempts that filled the disk; the first lasts one second, each further one twice as long."""
UNSEEN_S = 900.0
"""How long attempts may fill a disk that this process finds not full, seconds.

`is_full` detects an exceeded quota and missing inodes. It detects neither a short burst of another process nor a task
that fills the disk by itself. The burst passes; the task must not block its partition for ever.
"""

log = structlog.get_logger()


class Room:
    """The disk space of one task. Call ``wait`` before every attempt, ``release`` after it, ``failed`` if it filled the
    disk.

    Tasks of several slots may start together and run out of space together. So a task that has failed once also counts
    the space that the others may need; otherwise they would fail together again and again.
    """

    def __init__(self, disk: DiskSpace, spec: StageSpec, task: RenderTask) -> None:
        """Raises NoSpace when the task needs more than the size of the file system: waiting can't help.

        Where every task of the stage needs the same, the machine is too small for the stage: the task waits and the
        service is not ready, instead of failing the whole queue.
        """
        self._disk = disk
        self._needed = spec.needs_bytes(task)
        self._failures = 0
        self._failure = ""
        self._next_at = -math.inf
        self._unseen_since: float | None = None
        self._needs_vary = spec.needs_vary
        total = shutil.disk_usage(disk.folder).total - disk.reserve_mb * MIB
        if self._needs_vary and self._needed > total:
            raise NoSpace(
                f"the task needs {self._needed // MIB} MiB of disk, the file system has {total // MIB} and its reserve"
            )

    def wait(self) -> None:
        """Wait until there is room. Raises Abandoned, JobCancelled, OSError, and NoSpace when only this task never
        fits."""
        logged_at = -math.inf
        with Wait() as wait:
            try:
                while (reason := self._try_reserve()) is not None:
                    if self._fits_never(wait.seconds):
                        raise NoSpace(f"this task alone has not fitted for {UNSEEN_S / 60:.0f} minutes: {reason}")
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
                        wait.sleep(CHECK_S, yields=True)
                    finally:
                        self._disk.on_wait(time.monotonic() - started)
            finally:
                self._disk.report(None)

    def _fits_never(self, waited_s: float) -> bool:
        """Whether the disk has room for other tasks and only this one waits, because permanent files use the rest."""
        return self._needs_vary and waited_s > UNSEEN_S and not self._disk.reserved and self._disk.shortage(0) is None

    def release(self) -> None:
        """Release the space: the attempt has ended and its files are deleted."""
        self._disk.release()

    def _try_reserve(self) -> str | None:
        """Reserve the space; the reason when there is too little."""
        with self._disk.reserving:
            reason = self._reason()
            if reason is None:
                self._disk.reserve(self._needed)
            return reason

    def _reason(self) -> str | None:
        missing = self._disk.shortage(self._needed + (self._disk.reserved if self._failures else 0))
        if missing is not None or self._failures == 0:
            return missing
        if time.monotonic() < self._next_at or is_full(self._disk.folder):
            return self._failure
        return None

    def failed(self, error: DiskFull) -> None:
        """Note that an attempt filled the disk; its files are deleted. Raises NoSpace when attempts have failed for
        ``UNSEEN_S`` while this process finds the disk not full."""
        now = time.monotonic()
        seen = self._disk.shortage(self._needed) is not None or is_full(self._disk.folder)
        self._unseen_since = None if seen else self._unseen_since or now
        if self._unseen_since is not None and now - self._unseen_since > UNSEEN_S:
            raise NoSpace(f"the disk has room, but attempts have found it full for {UNSEEN_S / 60:.0f} min: {error}")
        self._next_at = now + min(2.0**self._failures, LONGEST_PAUSE_S)
        self._failures += 1
        self._failure = str(error)
        log.warning("disk_full", reason=self._failure, failures=self._failures)
