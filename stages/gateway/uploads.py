"""Private folders for uploads: each request has its own, and nothing is left of it once the request has ended."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.runtime.execute.removal import remove_folder
from shared.runtime.execute.scratch import Scratch
from shared.telemetry import metrics
from stages.gateway.problems import Problem

RETRY_S = 5


class UploadFolders:
    """Lets at most ``most`` uploads arrive at a time. What a killed gateway left is deleted by the next one."""

    def __init__(self, above: Path | None, most: int) -> None:
        """``above`` holds the folders; None: the system's temporary folder. Raises OSError."""
        self._scratch = Scratch(above)
        self._most = most
        self._open = 0

    @property
    def path(self) -> Path:
        """The folder that holds those of the requests."""
        return self._scratch.path

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder that is deleted at the end of the block. Raises Problem TOO_MANY_UPLOADS."""
        if self._open >= self._most:
            raise Problem(503, "TOO_MANY_UPLOADS", f"{self._most} uploads arrive at this moment", retry_s=RETRY_S,
                          hint="send the files to the object store: POST /v1/uploads")  # fmt: skip
        folder = Path(tempfile.mkdtemp(prefix="upload-", dir=self._scratch.path))
        self._open += 1
        try:
            with metrics.UPLOADS.track_inprogress():
                yield folder
        finally:
            self._open -= 1
            remove_folder(folder)

    def close(self) -> None:
        """Delete all of them."""
        self._scratch.close()
