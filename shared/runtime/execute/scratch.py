"""Local disk: the service's scratch folder, the folders that workers write in, and the space that is left."""

import fcntl
import os
import shutil
import stat
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from shared.runtime.execute.budget import MAX_FILE_BYTES
from shared.runtime.execute.removal import remove_folder
from shared.runtime.failures import WorkerDied
from shared.slot.confinement import policy
from shared.slot.disk import disk_full
from shared.storage.errors import NoSpace
from shared.storage.space import MIB, require_free

PREFIX = "lipstage-"
LOCK = "lock"
LEAST_BYTES = MIB
"""A disk with less free counts as full: some libraries report a failed write without saying why."""


class Scratch:
    """A folder that exists as long as this process, unless it is closed before.

    It holds users' media: a process that a second signal ends at once removes it, too. A killed service can't, so each
    service removes the folders whose lock is free at its start: the kernel releases a lock when its process ends, in
    any container.
    """

    def __init__(self, above: Path | None) -> None:
        parent = Path(above or tempfile.gettempdir())
        for lock in parent.glob(f"{PREFIX}*/{LOCK}"):
            _remove_unless_held(lock)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        # Lock it before it gets the name by which other services find it.
        unnamed = self.path / f".{LOCK}"
        held = unnamed.open("w")
        fcntl.flock(held, fcntl.LOCK_EX)
        unnamed.rename(self.path / LOCK)
        self._remove = weakref.finalize(self, _remove, self.path, held)

    def close(self) -> None:
        """Remove the folder."""
        self._remove()


def _remove(folder: Path, held: TextIO) -> None:
    remove_folder(folder)
    held.close()


def _remove_unless_held(lock: Path) -> None:
    try:
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_folder(lock.parent)
    except OSError:
        return  # In use, owned by another user, or already deleted.


@dataclass(frozen=True, slots=True)
class WorkerFolder:
    """The folders of one worker process, which has no other: a folder of a slot or tenant is closed to all others."""

    inputs: Path
    """Written by the service. The worker process reads it, and deletes chunks that are done."""
    work: Path
    """Written by the worker process."""

    @classmethod
    def make(cls, above: Path | None) -> "WorkerFolder":
        """New folders in ``above``; None: in the system's temporary folder. Raises OSError."""
        folder = Path(tempfile.mkdtemp(prefix="worker-", dir=above))
        made = cls(folder / policy.INPUTS, folder / policy.WORK)
        made.inputs.mkdir()
        made.work.mkdir()
        return made

    @property
    def path(self) -> Path:
        """The folder that holds both."""
        return self.work.parent

    def remove(self) -> None:
        """Delete both with all that is in them."""
        remove_folder(self.path)


class WorkFolder:
    """The folder in which the worker writes during one attempt. Accessed by its descriptor, so that it can't be
    replaced.

    The worker has opened hostile media and runs as the same user: through a symbolic link the service would upload a
    file of its own, and a FIFO would block it for ever.
    """

    def __init__(self, path: Path) -> None:
        """Make the folder. Raises WorkerDied when it is replaced at once, OSError when it can't be made."""
        path.mkdir()
        self.path = path
        try:
            self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as e:
            raise WorkerDied("the worker replaced the folder of its task") from e
        self._lock = threading.Lock()
        self._file_bytes = 0

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        """A path through which the block can read the file ``name``, an absolute path that the worker sent.

        Raises WorkerDied, because the worker is not trustworthy: when ``name`` is not a regular file directly in this
        folder, when the attempt exceeds its budget of file bytes, and when the file changes while the block reads it.
        """
        try:
            file = os.open(
                self._file_name(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._folder
            )
        except OSError as e:
            raise WorkerDied("the worker named a file that can't be opened") from e
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise WorkerDied("the worker named a file that is not a regular file")
            with self._lock:
                self._file_bytes += status.st_size
                if self._file_bytes > MAX_FILE_BYTES:
                    raise WorkerDied(f"the worker exceeded its budget of {MAX_FILE_BYTES} file bytes")
            yield Path(f"/proc/self/fd/{file}")
        except OSError as e:
            # An errno means a fault of this machine. FileChanged, which has none, means that the file was modified.
            if e.errno is None:
                raise WorkerDied("the worker changed a file while it was read") from e
            raise
        finally:
            os.close(file)

    def remove(self, name: str) -> None:
        """Delete a file that was read. Raises WorkerDied when the worker has deleted or replaced it."""
        try:
            os.unlink(self._file_name(name), dir_fd=self._folder)
        except (FileNotFoundError, IsADirectoryError, PermissionError) as e:
            raise WorkerDied("the worker deleted or replaced a file while it was read") from e

    def close(self) -> None:
        """Close the folder's descriptor."""
        os.close(self._folder)

    def _file_name(self, name: str) -> str:
        path = Path(name)
        if path.parent != self.path or path.name in ("", ".", ".."):
            raise WorkerDied("the worker named a file outside its folder")
        return path.name


class DiskSpace:
    """The space of the scratch folder's file system, shared by all slots of a service."""

    def __init__(self, folder: Path, reserve_mb: int, on_wait: Callable[[float], None] = lambda _: None) -> None:
        """``reserve_mb`` MiB must stay free. ``on_wait`` receives the seconds that the calling slot has just waited."""
        self.folder = folder
        self.reserve_mb = reserve_mb
        self.on_wait = on_wait
        self.reserving = threading.Lock()
        """Held while a task checks for room and reserves it."""
        self._waiting: dict[int, str] = {}
        self._reserved: dict[int, int] = {}

    @property
    def reason(self) -> str | None:
        """The reason why a task waits for room; None when no task waits. Any thread."""
        return next(iter(self._waiting.copy().values()), None)

    def report(self, reason: str | None) -> None:
        """Note why the calling thread's task waits; None when it no longer does."""
        if reason is None:
            self._waiting.pop(threading.get_ident(), None)
        else:
            self._waiting[threading.get_ident()] = reason

    def reserve(self, needed: int) -> None:
        """Reserve ``needed`` bytes for the calling thread's task."""
        self._reserved[threading.get_ident()] = needed

    def release(self) -> None:
        """Release the reservation of the calling thread's task, which has deleted its files."""
        self._reserved.pop(threading.get_ident(), None)

    @property
    def reserved(self) -> int:
        """Sum of the reservations, bytes."""
        return sum(self._reserved.copy().values())

    def shortage(self, needed: int) -> str | None:
        """The reason why ``needed`` bytes are not available; None when they are. Raises OSError."""
        try:
            require_free(self.folder, max(needed, LEAST_BYTES), self.reserve_mb)
        except NoSpace as e:
            return str(e)
        return None


def is_full(folder: Path) -> bool:
    """Whether nothing can be written to the folder, because of free space, quota or inodes."""
    if shutil.disk_usage(folder).free < LEAST_BYTES:
        return True
    try:
        # fsync, because some file systems report the error only then; random bytes, because zeros may be compressed.
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(os.urandom(LEAST_BYTES // 16))
            file.flush()
            os.fsync(file.fileno())
    except OSError as e:
        return disk_full(e)
    return False
