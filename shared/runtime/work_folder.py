"""The folder a worker works in, seen from the parent: takes from it only what a worker may hand over."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from shared.runtime.budget import MAX_HANDED_BYTES
from shared.runtime.worker_process import WorkerDied


class WorkFolder:
    """One attempt's folder. Held by its descriptor, so that nothing else can be put in its place.

    The worker has opened hostile media and runs as the same user: a link would have us upload a file of our own, a FIFO
    would never end.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.path = path
        self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._lock = Lock()
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
