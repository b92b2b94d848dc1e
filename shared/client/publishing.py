"""Gives a finished file its name in one step: a new file, or one in place of another that keeps mode and owner."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def publish_new(temporary: Path, path: Path) -> None:
    """Give the file the name ``path``. Raises FileExistsError when it is taken by now, OSError."""
    try:
        path.hardlink_to(temporary)
    except OSError as e:
        if e.errno not in _NO_HARD_LINKS:
            raise
        # Take the name with an empty file, which is this command's own to replace.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        temporary.replace(path)


def publish_over(temporary: Path, path: Path) -> None:
    """Replace what has the name ``path``, or take a free name. Raises OSError.

    A private file stays private: its mode is kept, and its owner where that is permitted. Where its group can't be
    kept, the group gets no access.
    """
    with suppress(FileNotFoundError):
        former = path.lstat()
        if stat.S_ISREG(former.st_mode):
            _take_access(temporary, former)
    temporary.replace(path)


def _take_access(file: Path, former: os.stat_result) -> None:
    file.chmod(0o600)  # Nobody new may read it between these steps.
    mode = former.st_mode & 0o777
    try:
        os.chown(file, -1, former.st_gid)
    except OSError:
        mode &= ~stat.S_IRWXG
    file.chmod(mode)
    with suppress(OSError):
        os.chown(file, former.st_uid, -1)
