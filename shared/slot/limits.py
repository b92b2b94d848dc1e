"""Limits of a process that opens user media: lifetime, memory, file size, access to other processes."""

import ctypes
import math
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
MORE_THREADS = 4096
"""Threads and processes that the whole machine may get beside a running worker, before it can start no more."""


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


@contextmanager
def limit_cpu(seconds: float) -> Iterator[None]:
    """End this process by SIGXCPU when it uses more CPU than this in the block, in all its threads (RLIMIT_CPU).

    For a decoder that opens user media: whatever it does, a loop in it ends. The parent takes that end for a refusal of
    the file, not for a crash (`shared.runtime.execute.worker_process`). The kernel counts whole seconds.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def hide_from_workers() -> None:
    """Deny other processes of the same user access to this one's memory and environment (PR_SET_DUMPABLE, prctl(2)).

    A worker process that has opened hostile media runs as the same user, and this process holds the credentials, or is
    a worker with another's media. Root keeps its access. Raises OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) failed")


def no_core_dumps() -> None:
    """Disable core dumps: a crash must not write user media to disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_processes() -> None:
    """Bound the threads that this process can add to its user's (RLIMIT_NPROC).

    The kernel counts all threads and processes of the user, those of other services included, so the limit is what runs
    on the machine now and ``MORE_THREADS`` more: it stops an endless loop, and no task. Not for root, who has no such
    limit.
    """
    try:
        running = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    limit = running + MORE_THREADS
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
