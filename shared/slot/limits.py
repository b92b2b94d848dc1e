"""Limits of a process that opens user media: it dies with its parent and can't eat the machine."""

import ctypes
import os
import resource
import signal

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4


def die_with_parent(parent: int) -> None:
    """Have the kernel send SIGKILL when the parent ends, however it ends.

    ``parent`` is the pid the caller expects as parent: when it has already gone, the process exits at once (the
    signal is only set for a future death). Linux only: prctl(2), PR_SET_PDEATHSIG. The signal is bound to the parent's
    *thread* that started this process, so that thread must live as long as the worker is wanted.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(1)


def limit_memory(megabytes: int) -> None:
    """Bound the address space (RLIMIT_AS); an allocation beyond it raises MemoryError instead of swapping the host.

    Not for CUDA processes: they map far more than they use.
    """
    size = megabytes * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def limit_files(megabytes: int) -> None:
    """Bound the size of a file (RLIMIT_FSIZE); a write beyond it raises OSError EFBIG instead of filling the disk.

    The signal that comes with it is ignored: it would end the process without a word.
    """
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = megabytes * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def hide_from_workers() -> None:
    """Keep other processes of the same user out of this one's memory and environment (PR_SET_DUMPABLE, prctl(2)).

    A worker that has opened hostile media runs as the same user; the credentials are here. Not kept from root.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) failed")


def no_core_dumps() -> None:
    """A crash must not write user media to disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
