"""Limits of a process that opens user media: lifetime, memory, file size, access to other processes."""

import ctypes
import os
import resource
import signal

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4


def die_with_parent(parent: int) -> None:
    """Have the kernel send SIGKILL to this process when its parent ends for any reason.

    ``parent`` is the expected pid of the parent: when that has already ended, this process exits at once, because the
    signal is sent for a future end only. Linux only: prctl(2), PR_SET_PDEATHSIG. The signal is bound to the *thread* of
    the parent that started this process, so that thread must live as long as this process is needed. Raises OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(1)


def limit_memory(megabytes: int) -> None:
    """Limit the address space (RLIMIT_AS); an allocation beyond it raises MemoryError instead of swapping the host.

    Not for CUDA processes: they map far more than they use.
    """
    size = megabytes * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def limit_files(megabytes: int) -> None:
    """Limit the size of a file (RLIMIT_FSIZE); a write beyond it raises OSError EFBIG instead of filling the disk.

    The accompanying signal is ignored: it would end the process without a message.
    """
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = megabytes * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def hide_from_workers() -> None:
    """Deny other processes of the same user access to this one's memory and environment (PR_SET_DUMPABLE, prctl(2)).

    A worker process that has opened hostile media runs as the same user, and this process holds the credentials. Root
    keeps its access. Raises OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) failed")


def no_core_dumps() -> None:
    """Disable core dumps: a crash must not write user media to disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
