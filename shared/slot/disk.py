"""Telling a full disk from a fault of the task: it is the machine's, and passes."""

import errno
import re
import resource
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""No space, no inode, or the quota is used up. Not EFBIG: that is the task's own limit (RLIMIT_FSIZE)."""


_SHORT_WRITE = re.compile(r"\d{1,20} requested and \d{1,20} written")
"""How NumPy reports a write that came to its end early; it does not say why."""


def disk_full(error: BaseException) -> bool:
    """Whether the error, or one that led to it, says that the disk is full.

    Looks at ``errno`` whatever the class, for FFmpeg's errors have it too; and takes a write that NumPy could not
    finish for one that found no room: see ``at_file_limit`` for the other cause.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        if getattr(found, "errno", None) in FULL:
            return True
        if isinstance(found, OSError) and found.errno is None and _SHORT_WRITE.fullmatch(str(found)):
            return True
        waiting += [found.__cause__, found.__context__]
        if isinstance(found, BaseExceptionGroup):
            waiting += found.exceptions
    return False


def at_file_limit(folder: Path) -> bool:
    """Whether a file in the folder has reached RLIMIT_FSIZE: a write that ended there is the task's fault."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit == resource.RLIM_INFINITY:
        return False
    return any(path.lstat().st_size >= limit for path in folder.iterdir())
