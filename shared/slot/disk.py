"""Distinguishes a full disk, which is a temporary fault of the machine, from a fault of the task."""

import errno
import re
import resource
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""No space, no inode, or no quota left. Not EFBIG: that is the task's own limit (RLIMIT_FSIZE)."""
_SHORT_WRITE = re.compile(r"\d{1,20} requested and \d{1,20} written")
"""NumPy's message for an incomplete write; it does not contain the cause."""


def disk_full(error: BaseException) -> bool:
    """Whether the error, or one of its causes, means that the disk is full.

    It checks ``errno`` of every class, because FFmpeg's errors have it too. An incomplete write of NumPy counts as a
    full disk; ``at_file_limit`` checks for the other cause.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        cause = pending.pop()
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        if getattr(cause, "errno", None) in FULL:
            return True
        if isinstance(cause, OSError) and cause.errno is None and _SHORT_WRITE.fullmatch(str(cause)):
            return True
        pending += [cause.__cause__, cause.__context__]
        if isinstance(cause, BaseExceptionGroup):
            pending += cause.exceptions
    return False


def at_file_limit(folder: Path) -> bool:
    """Whether a file in the folder has reached RLIMIT_FSIZE: an incomplete write is then the task's fault."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit == resource.RLIM_INFINITY:
        return False
    return any(path.lstat().st_size >= limit for path in folder.iterdir())
