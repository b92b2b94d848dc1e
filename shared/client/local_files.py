"""Checks of the user's files before anything is sent: they exist, are whole files, and are not too large."""

import difflib
import os
import stat
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from shared.client.errors import InvalidRequest

MB = 1024 * 1024
MAX_NAMES = 1000
"""A folder of more files is not searched for a name like that of a missing file."""


@dataclass(frozen=True, slots=True)
class FileLimits:
    """The largest files that a deployment accepts, MiB."""

    portrait_mb: int
    speech_mb: int

    def check(self, path: Path, role: str, *, suggest: bool = True) -> None:
        """Raises InvalidRequest as ``checked``; ``role`` is portrait or speech."""
        checked(path, role, self.portrait_mb if role == "portrait" else self.speech_mb, suggest=suggest)


def checked(path: Path, role: str, max_mb: int, *, suggest: bool = True) -> Path:
    """The path, if its file can be uploaded as ``role`` (portrait, speech). Only the local disk is read.

    ``suggest``: look for a file of nearly that name when there is none of that name. Raises InvalidRequest with what
    is wrong and what helps.
    """
    status = status_of(path, role)
    if status is None:
        raise InvalidRequest(f"the {role} {path} does not exist", _nearest_name(path) if suggest else None)
    if stat.S_ISDIR(status.st_mode):
        raise InvalidRequest(f"the {role} {path} is a directory", f"name the {role} file itself")
    if not stat.S_ISREG(status.st_mode):
        raise InvalidRequest(
            f"the {role} {path} is not a regular file", "pipes and devices can't be uploaded; save it to a file first"
        )
    if not os.access(path, os.R_OK):
        raise InvalidRequest(f"the {role} {path} can't be read", "check the file's permissions")
    size = status.st_size
    if size == 0:
        raise InvalidRequest(f"the {role} {path} is empty")
    if size > max_mb * MB:
        raise InvalidRequest(
            f"the {role} {path} has {size / MB:.0f} MiB; at most {max_mb} MiB are accepted", "use a smaller file"
        )
    return path


def status_of(path: Path, role: str) -> os.stat_result | None:
    """``stat`` of a path; None when nothing is there. Raises InvalidRequest for a path that can't be used at all."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        raise InvalidRequest(f"the {role} {path} can't be used: {e.strerror}") from None
    except ValueError as e:  # A zero byte, which a manifest can hold.
        raise InvalidRequest(f"the {role} {str(path)!r} can't be used: {e}") from None


def _nearest_name(path: Path) -> str | None:
    """A hint when the folder holds a file of nearly that name."""
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist either"
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(entries, MAX_NAMES + 1)]
    except OSError:  # A folder may be entered and not listed.
        return None
    near = difflib.get_close_matches(path.name, names, n=1) if len(names) <= MAX_NAMES else []
    return f"did you mean {path.parent / near[0]}?" if near else None
