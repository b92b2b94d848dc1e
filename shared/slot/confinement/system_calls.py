"""The system calls that a worker process keeps (seccomp, by libseccomp): files, memory, threads, clocks.

An allow-list: a call that is not named fails with ENOSYS, as on a kernel that does not have it, so that libraries use
what they have instead. Those that an attacker would want fail with EPERM. Nothing kills the process, but calls of
another architecture: a decoder's mistake is an error of its task.
"""

import errno
import os
import resource
import types
from typing import Any

_FILES = """read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek _llseek close close_range
 dup dup2 dup3 pipe pipe2 flock sendfile sendfile64 copy_file_range fsync fdatasync sync_file_range
 fallocate ftruncate ftruncate64 fadvise64 fadvise64_64 readahead creat stat lstat fstat newfstatat
 fstatat64 statx stat64 lstat64 fstat64 statfs fstatfs statfs64 fstatfs64 access faccessat faccessat2 getdents
 getdents64 getcwd mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 readlink readlinkat umask"""
_MEMORY = """mmap mmap2 munmap mprotect mremap madvise brk mincore msync mlock mlock2 munlock membarrier memfd_create
 mbind get_mempolicy set_mempolicy pkey_alloc pkey_free pkey_mprotect"""
_THREADS = """futex futex_time64 futex_waitv set_robust_list rseq set_tid_address exit exit_group sched_yield
 sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min sched_getattr
 arch_prctl getcpu restart_syscall rt_sigaction rt_sigprocmask rt_sigreturn sigreturn rt_sigsuspend rt_sigpending
 rt_sigtimedwait rt_sigtimedwait_time64 sigaltstack pause wait4 waitid"""
_ABOUT_ITSELF = """gettid getpid getppid getuid geteuid getgid getegid getgroups getresuid getresgid getpgrp getpgid
 getsid getrlimit ugetrlimit getrusage times sysinfo uname capget getrandom"""
_TIME = """gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 clock_nanosleep
 clock_nanosleep_time64 nanosleep time timer_create timer_settime timer_settime64 timer_gettime timer_gettime64
 timer_getoverrun timer_delete timerfd_create timerfd_settime timerfd_gettime getitimer setitimer alarm"""
_WAITING = """poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_create epoll_create1 epoll_ctl
 epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2"""
ALLOWED = tuple(" ".join((_FILES, _MEMORY, _THREADS, _ABOUT_ITSELF, _TIME, _WAITING)).split())

_OTHER_PROCESSES = """ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_open
 pidfd_getfd pidfd_send_signal rt_sigqueueinfo rt_tgsigqueueinfo tkill setpriority ioprio_set sched_setscheduler
 sched_setparam sched_setattr migrate_pages move_pages perf_event_open"""
_KERNEL = """mount umount2 open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr pivot_root chroot unshare
 setns bpf userfaultfd io_uring_setup io_uring_enter io_uring_register keyctl add_key request_key init_module
 finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff acct quotactl quotactl_fd
 name_to_handle_at open_by_handle_at personality syslog settimeofday clock_settime clock_adjtime adjtimex sethostname
 setdomainname fanotify_init lookup_dcookie vhangup"""
_IDENTITY = """setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset"""
_LINKS_AND_MODES = """symlink symlinkat link linkat mknod mknodat chmod fchmod fchmodat fchmodat2 chown fchown lchown
 fchownat truncate truncate64 setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr utime utimes utimensat
 futimesat inotify_init inotify_init1 inotify_add_watch"""
_SHARED = """shmget shmat shmctl msgget msgsnd msgrcv semget semop mq_open mq_unlink memfd_secret"""
_PROCESSES = """execve execveat fork vfork setsid setpgid"""
_SOCKETS = """socket socketpair connect bind listen accept accept4 sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg
 shutdown"""
_LIMITS = """setrlimit"""
ALWAYS_DENIED = tuple(" ".join((_OTHER_PROCESSES, _KERNEL, _IDENTITY, _LINKS_AND_MODES, _SHARED)).split())
"""For a worker process with an accelerator as well; its driver and compiler need the rest."""
DENIED = (*ALWAYS_DENIED, *" ".join((_PROCESSES, _SOCKETS, _LIMITS)).split())

_CLONE_THREAD = 0x10000
_PRCTL = (3, 15, 16, 0x53564D41)
"""PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_SET_VMA. Not PR_SET_PDEATHSIG: a worker ends with its parent."""
_IOCTL = (0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TCGETS2 (Python asks each file that it opens), TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1031, 1032, 1033, 1034)
"""Duplicates, flags, locks, sizes of pipes, seals. Not F_SETOWN: the kernel would signal the service for the worker."""
_NETWORK_FAMILIES = (2, 10, 17)
"""AF_INET, AF_INET6, AF_PACKET. A GPU's driver may need a Unix socket."""
_FAIL = errno.EPERM


def library() -> types.ModuleType:
    """pyseccomp. Raises ImportError, and RuntimeError or OSError without the system's libseccomp.so.2. For the first
    time before any restriction, because it looks for that library by a program."""
    import pyseccomp

    module: types.ModuleType = pyseccomp
    return module


def restrict(seccomp: types.ModuleType) -> None:
    """Restrict every thread of this process, and those that it starts later, to the calls above. Raises OSError."""
    calls = seccomp.SyscallFilter(seccomp.ERRNO(errno.ENOSYS))
    for name in ALLOWED:
        _add(calls, seccomp.ALLOW, name)
    for name in DENIED:
        _add(calls, seccomp.ERRNO(_FAIL), name)
    own, arg = os.getpid(), seccomp.Arg
    # Before Landlock's third version a file that may be read could be emptied by opening it.
    for name, flags in (("open", 1), ("openat", 2)):
        _add(calls, seccomp.ALLOW, name, arg(flags, seccomp.MASKED_EQ, os.O_TRUNC, 0))
        for access in (os.O_WRONLY, os.O_RDWR):
            wanted = os.O_TRUNC | access
            _add(calls, seccomp.ALLOW, name, arg(flags, seccomp.MASKED_EQ, os.O_TRUNC | os.O_ACCMODE, wanted))
    # A thread only; clone3 hides its flags from the filter, and the C library does without it.
    _add(calls, seccomp.ALLOW, "clone", arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD))
    _add(calls, seccomp.ERRNO(_FAIL), "clone", arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, 0))
    for name in ("kill", "tgkill"):
        _add(calls, seccomp.ALLOW, name, arg(0, seccomp.EQ, own))
        _add(calls, seccomp.ERRNO(_FAIL), name, arg(0, seccomp.NE, own))
    # Its own limits: to read all, and to set that of CPU time, which a task may have for a part of its work.
    changes, not_cpu = arg(2, seccomp.NE, 0), arg(1, seccomp.NE, resource.RLIMIT_CPU)
    _add(calls, seccomp.ALLOW, "prlimit64", arg(0, seccomp.EQ, 0), arg(2, seccomp.EQ, 0))
    _add(calls, seccomp.ALLOW, "prlimit64", arg(0, seccomp.EQ, 0), arg(1, seccomp.EQ, resource.RLIMIT_CPU), changes)
    _add(calls, seccomp.ERRNO(_FAIL), "prlimit64", arg(0, seccomp.EQ, 0), not_cpu, changes)
    _add(calls, seccomp.ERRNO(_FAIL), "prlimit64", arg(0, seccomp.NE, 0))
    # Libraries bind their threads to cores: a thread of its own by 0, others by a number that could be anyone's.
    _add(calls, seccomp.ALLOW, "sched_setaffinity", arg(0, seccomp.EQ, 0))
    for option in _PRCTL:
        _add(calls, seccomp.ALLOW, "prctl", arg(0, seccomp.EQ, option))
    for request in _IOCTL:
        _add(calls, seccomp.ALLOW, "ioctl", arg(1, seccomp.EQ, request))
    for name in ("fcntl", "fcntl64"):
        for command in _FCNTL:
            _add(calls, seccomp.ALLOW, name, arg(1, seccomp.EQ, command))
    _load(seccomp, calls)


def restrict_with_accelerator(seccomp: types.ModuleType) -> None:
    """Deny what neither a GPU's driver nor a compiler of kernels needs: other processes' memory, the kernel's own
    doors, the network. Raises OSError."""
    calls = seccomp.SyscallFilter(seccomp.ALLOW)
    for name in ALWAYS_DENIED:
        _add(calls, seccomp.ERRNO(_FAIL), name)
    for family in _NETWORK_FAMILIES:
        _add(calls, seccomp.ERRNO(_FAIL), "socket", seccomp.Arg(0, seccomp.EQ, family))
    _load(seccomp, calls)


def _add(calls: Any, action: int, name: str, *arguments: object) -> None:
    try:
        calls.add_rule(action, name, *arguments)
    except (OSError, ValueError, RuntimeError):
        return  # This processor, or this version of libseccomp, does not know the call: the default applies.


def _load(seccomp: types.ModuleType, calls: Any) -> None:
    calls.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL_PROCESS)
    # Threads that libraries started while they were loaded are restricted, too.
    calls.set_attr(seccomp.Attr.CTL_TSYNC, 1)
    calls.load()
