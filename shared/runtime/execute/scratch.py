"""Local disk: the service's scratch folder, the folders that workers write in, and the space that is left."""

import fcntl
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.runtime.execute.budget import MAX_HANDED_BYTES
from shared.runtime.failures import WorkerDied
from shared.slot.disk import disk_full
from shared.storage.errors import NoSpace
from shared.storage.space import MIB, require_free

PREFIX = "lipstage-"
LOCK = "lock"
LEAST_BYTES = MIB
"""A disk with less free counts as full: some libraries report a failed write without saying why."""


class Scratch:
    """A folder that lives as long as this process.

    It holds users' media. A service that is killed can't remove its own, so each one removes those that nobody holds:
    the lock goes with its process, in whatever container that ran.
    """

    def __init__(self, above: Path | None) -> None:
        parent = Path(above or tempfile.gettempdir())
        for left in parent.glob(f"{PREFIX}*/{LOCK}"):
            _remove_unless_held(left)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        # Held before it has the name by which others find it.
        unnamed = self.path / f".{LOCK}"
        self._lock = unnamed.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unnamed.rename(self.path / LOCK)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _remove_unless_held(lock: Path) -> None:
    try:
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
    except OSError:
        return  # In use, another user's, or already gone.


class WorkFolder:
    """One attempt's folder. Held by its descriptor, so that nothing else can be put in its place.

    The worker has opened hostile media and runs as the same user: a link would have us upload a file of our own, a FIFO
    would never end.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.path = path
        self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._lock = threading.Lock()
        self._handed_bytes = 0

    @contextmanager
    def opened(self, said: str) -> Iterator[Path]:
        """A path by which the file that the worker names can be read, while the block lasts.

        Raises WorkerDied for a worker that can't be trusted: unless it is a regular file directly in this folder, for
        one that hands over more than an attempt may, and when the file is changed while the block reads it.
        """
        try:
            file = os.open(
                self._name(said), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._folder
            )
        except OSError as e:
            raise WorkerDied("the worker handed over a file that can't be opened") from e
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise WorkerDied("the worker handed over something that is no regular file")
            with self._lock:
                self._handed_bytes += found.st_size
                if self._handed_bytes > MAX_HANDED_BYTES:
                    raise WorkerDied(f"the worker is over its budget of {MAX_HANDED_BYTES} bytes handed over")
            yield Path(f"/proc/self/fd/{file}")
        except OSError as e:
            # With a number it is this machine's. Without: storage found that the file is not what it was a moment ago.
            if e.errno is None:
                raise WorkerDied("the worker changed a file that it had handed over") from e
            raise
        finally:
            os.close(file)

    def remove(self, said: str) -> None:
        """Delete a file that was taken. Raises WorkerDied when the worker has put something else in its place."""
        try:
            os.unlink(self._name(said), dir_fd=self._folder)
        except (FileNotFoundError, IsADirectoryError, PermissionError) as e:
            raise WorkerDied("the worker took back a file that it had handed over") from e

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._folder)

    def _name(self, said: str) -> str:
        path = Path(said)
        if path.parent != self.path or path.name in ("", ".", ".."):
            raise WorkerDied("the worker handed over a file from outside its folder")
        return path.name


class DiskSpace:
    """The file system of the scratch folder, as all slots of a service see it."""

    def __init__(self, folder: Path, reserve_mb: int, on_wait: Callable[[float], None] = lambda _: None) -> None:
        """``on_wait`` gets the seconds that the slot of the calling thread has just waited."""
        self.folder = folder
        self.reserve_mb = reserve_mb
        self.on_wait = on_wait
        self.taking = threading.Lock()
        """Held while a task looks for room and takes it."""
        self._waiting: dict[int, str] = {}
        self._taken: dict[int, int] = {}

    @property
    def reason(self) -> str | None:
        """Why tasks wait for room; None when none does. Any thread."""
        return next(iter(self._waiting.copy().values()), None)

    def report(self, reason: str | None) -> None:
        """The calling thread's task waits, or does so no longer."""
        if reason is None:
            self._waiting.pop(threading.get_ident(), None)
        else:
            self._waiting[threading.get_ident()] = reason

    def take(self, needed: int) -> None:
        """The calling thread's task begins, and may come to need so many bytes."""
        self._taken[threading.get_ident()] = needed

    def leave(self) -> None:
        """The calling thread's task has removed what it wrote."""
        self._taken.pop(threading.get_ident(), None)

    @property
    def taken(self) -> int:
        """What the tasks that run may come to need, bytes."""
        return sum(self._taken.copy().values())

    def lacking(self, needed: int) -> str | None:
        """What is missing for a task that needs so many bytes; None when there is room. Raises OSError."""
        try:
            require_free(self.folder, max(needed, LEAST_BYTES), self.reserve_mb)
        except NoSpace as e:
            return str(e)
        return None


def is_full(folder: Path) -> bool:
    """Whether nothing can be written to the folder, by free space, quota or inodes."""
    if shutil.disk_usage(folder).free < LEAST_BYTES:
        return True
    try:
        # Written through, for some file systems find out only then; random, for zeros may be compressed away.
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(os.urandom(LEAST_BYTES // 16))
            file.flush()
            os.fsync(file.fileno())
    except OSError as e:
        return disk_full(e)
    return False
