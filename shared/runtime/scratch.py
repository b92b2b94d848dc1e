"""The service's own folder for temporary files, and the removal of those that killed services left."""

import fcntl
import shutil
import tempfile
from pathlib import Path

PREFIX = "lipstage-"
LOCK = "lock"


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
