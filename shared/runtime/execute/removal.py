"""Deletes a folder in which a worker process has written, however it has left it."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import structlog

log = structlog.get_logger()


def remove_folder(folder: Path) -> None:
    """Delete a folder with all that is in it; what can't be deleted is logged.

    `shutil.rmtree` gives up on a folder without the right to read it, and on thousands of nested ones. Any thread.
    """
    with suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
    if folder.is_dir():
        with suppress(OSError):
            _flatten(folder)
        shutil.rmtree(folder, ignore_errors=True)
        if folder.is_dir():
            log.warning("worker_folder_not_deleted", folder=folder.name)


def _flatten(folder: Path) -> None:
    """Move what is in its folders up, one level after the other: no path gets long. Raises OSError."""
    folder.chmod(0o700)
    number = 0
    while nested := [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]:
        for inner in nested:
            inner.chmod(0o700)
            for entry in os.scandir(inner):
                Path(entry.path).rename(folder / f".removed-{number}")
                number += 1
            inner.rmdir()
