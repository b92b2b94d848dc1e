"""Landlock (landlock(7)): a process keeps access to the folders that it names, and loses all other files for good.

By ctypes, because no maintained package wraps it. The numbers of the three system calls are the same on every
processor. What Landlock does not govern, seccomp denies: `chmod` and extended attributes of any file, Unix
sockets; `stat` of any path is left.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Mapping
from enum import IntFlag
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
"""Flag of the first call: answer the ABI's version."""
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38
_NO_RULE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM)
"""What is not there, or is closed to this user anyway, needs no rule."""
_TCP = 0b11
"""Bind and connect; no rule allows a port."""
_SCOPED = 0b11
"""Abstract Unix sockets and signals: none to a process outside."""


class Access(IntFlag):
    """The rights of linux/landlock.h. Execution is in no set below: a worker process starts no program."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15

    READ = READ_FILE | READ_DIR
    CONSUME = READ | REMOVE_FILE
    """Read files, and delete those that are done with."""
    WRITE = CONSUME | WRITE_FILE | REMOVE_DIR | MAKE_DIR | MAKE_REG | TRUNCATE
    """Everything with regular files and folders; no links, FIFOs, sockets or devices."""
    OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
    """What a rule for something that is no folder may name."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """The ABI of the kernel's Landlock, from 1. Raises OSError where the kernel, or a container's filter, has none."""
    return _call(_CREATE_RULESET, None, 0, _VERSION)


def restrict(rules: Mapping[Path, Access]) -> None:
    """Restrict the calling thread, and all threads that it starts later, to ``rules``: path -> rights beneath it.

    The process must have one thread: another one would stay unrestricted. A path that does not exist is left out.
    Raises RuntimeError for a second thread, OSError when the kernel refuses.
    """
    abi = version()
    if (threads := len(list(Path("/proc/self/task").iterdir()))) != 1:
        raise RuntimeError(f"the process has {threads} threads already")
    handled = _handled(abi)
    attributes = _Ruleset(handled, _TCP if abi >= 4 else 0, _SCOPED if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _call(_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    try:
        for path, access in rules.items():
            _allow(ruleset, path, access & handled)
        _no_new_privileges()
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _handled(abi: int) -> Access:
    """The rights that this kernel can deny."""
    handled = Access(Access.REFER - 1)
    if abi >= 2:
        handled |= Access.REFER
    if abi >= 3:
        handled |= Access.TRUNCATE
    if abi >= 5:
        handled |= Access.IOCTL_DEV
    return handled


def _allow(ruleset: int, path: Path, access: Access) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as e:
        if e.errno not in _NO_RULE:
            raise
        return
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            access &= Access.OF_A_FILE
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(_Beneath(access, opened)), 0)
    finally:
        os.close(opened)


def _no_new_privileges() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS) failed")


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    result = int(libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock: {os.strerror(error)}")
    return result
