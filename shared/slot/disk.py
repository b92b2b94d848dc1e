"""Telling a full disk from a fault of the task: it is the machine's, and passes."""

import errno

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""No space, no inode, or the quota is used up. Not EFBIG: that is the task's own limit (RLIMIT_FSIZE)."""


def disk_full(error: BaseException) -> bool:
    """Whether the error, or one that led to it, says that the disk is full.

    Looks at ``errno`` whatever the class: FFmpeg's errors have it too.
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
        waiting += [found.__cause__, found.__context__]
        if isinstance(found, BaseExceptionGroup):
            waiting += found.exceptions
    return False
