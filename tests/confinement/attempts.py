"""What code that has taken over a worker process would try. Each returns evidence that it worked, or raises OSError.

Run inside a worker process: `escaping_handler` calls them, and finds their targets in the variables ``ESCAPE_*``.
"""

import ctypes
import fcntl
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
PR_SET_PDEATHSIG = 1


class _Piece(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("length", ctypes.c_size_t))


@dataclass(frozen=True)
class Attempt:
    """One attempt; the page's table has a row with its ``title``."""

    title: str
    run: Callable[[], str]
    traces: bool = False
    """It needs the right to trace other processes of the user, which a machine may deny to everybody but root."""


def target(name: str) -> str:
    return os.environ[f"ESCAPE_{name}"]


def other() -> int:
    """Another process of the same user, with a secret in its environment."""
    return int(target("PROCESS"))


def checked(result: int) -> int:
    """The result of a C function. Raises OSError for -1."""
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def read_secret() -> str:
    return Path(target("SECRET")).read_text()


def list_state() -> str:
    return " ".join(path.name for path in Path(target("SECRET")).parent.iterdir())


def watch_state() -> str:
    watcher = checked(libc.inotify_init1(0))
    try:
        checked(libc.inotify_add_watch(watcher, os.fsencode(Path(target("SECRET")).parent), 0xFFF))
    finally:
        os.close(watcher)
    return "watched"


def replace_secret() -> str:
    path = Path(target("SECRET"))
    os.truncate(path, path.stat().st_size)
    return "truncated"


def empty_secret_by_opening_it() -> str:
    """For reading, which an old Landlock allows where the file may be read; and for nothing."""
    path, text = Path(target("SECRET")), ""
    with suppress(OSError):
        text = path.read_text()
    for access in (os.O_RDONLY, 3):
        os.close(os.open(path, access | os.O_TRUNC))
    path.write_text(text)  # Other attempts need it.
    return "emptied"


def open_secret_to_all() -> str:
    path = Path(target("SECRET"))
    path.chmod(path.stat().st_mode)
    return "mode changed"


def link_secret() -> str:
    link = Path(target("WORK")) / "link"
    os.link(target("SECRET"), link)
    try:
        return link.read_text()
    finally:
        link.unlink()


def symlink_secret() -> str:
    link = Path(target("WORK")) / "symlink"
    link.symlink_to(target("SECRET"))
    link.unlink()
    return "linked"


def make_fifo() -> str:
    path = Path(target("WORK")) / "fifo"
    os.mkfifo(path)
    path.unlink()
    return "made"


def other_environment() -> str:
    return Path(f"/proc/{other()}/environ").read_bytes().decode()


def other_memory_file() -> str:
    start = int(Path(f"/proc/{other()}/maps").read_text().partition("-")[0], 16)
    with Path(f"/proc/{other()}/mem").open("rb") as memory:
        memory.seek(start)
        return memory.read(4).hex()


def _an_address() -> int:
    """The address of the C library in the other process; this one's, where that can't be read."""
    try:
        return int(Path(f"/proc/{other()}/maps").read_text().partition("-")[0], 16)
    except OSError:
        return int(Path("/proc/self/maps").read_text().partition("-")[0], 16)


def other_memory_call() -> str:
    buffer = ctypes.create_string_buffer(4)
    here, there = _Piece(ctypes.addressof(buffer), 4), _Piece(_an_address(), 4)
    checked(libc.process_vm_readv(other(), ctypes.byref(here), 1, ctypes.byref(there), 1, 0))
    return buffer.raw.hex()


def trace_other() -> str:
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    checked(libc.ptrace(PTRACE_SEIZE, other(), None, None))
    libc.ptrace(PTRACE_DETACH, other(), None, None)
    return "traced"


def signal_other() -> str:
    os.kill(other(), signal.SIGCONT)
    return "signalled"


def signal_parent() -> str:
    os.kill(os.getppid(), 0)
    return "reached"


def signal_parent_by_kernel() -> str:
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(reading, fcntl.F_SETOWN, os.getppid())  # With O_ASYNC, SIGIO would end it.
    finally:
        os.close(reading)
        os.close(writing)
    return "set"


def limit_parent() -> str:
    resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE))
    return "limits set"


def limit_itself() -> str:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))
    except ValueError as e:  # Python's translation of EPERM.
        raise PermissionError(str(e)) from e
    return "limits set"


def connect_tcp() -> str:
    with socket.create_connection(("127.0.0.1", int(target("PORT"))), timeout=5) as connection:
        return connection.recv(100).decode()


def connect_unix() -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(target("SOCKET"))
        return connection.recv(100).decode()


def listen() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def write_home() -> str:
    path = Path(target("HOME")) / ".profile"
    path.write_text("run me")
    return path.read_text()


def write_code() -> str:
    path = Path(__file__).with_name(f"written-{os.getpid()}")
    path.touch()
    path.unlink()
    return "written"


def leave_daemon() -> str:
    child = os.fork()
    if child == 0:
        os.setsid()
        os._exit(0 if os.fork() else 7)  # The grandchild would live on.
    os.waitpid(child, 0)
    return "daemon started"


def run_program() -> str:
    return subprocess.run(["/bin/echo", "ran"], capture_output=True, check=True).stdout.decode()


def outlive_parent() -> str:
    checked(libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0))
    checked(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    return "not ended with its parent"


def become_other_user() -> str:
    os.setresuid(os.getuid(), os.geteuid(), os.geteuid())
    return "identity set"


def read_other_slot() -> str:
    return Path(target("OTHER_SLOT")).read_text()


def write_other_slot() -> str:
    path = Path(target("OTHER_SLOT")).with_name("planted")
    path.write_text("planted")
    path.unlink()
    return "planted"


def change_inputs() -> str:
    path = Path(target("INPUT"))
    path.write_bytes(path.read_bytes())
    return "written"


ATTEMPTS = (
    Attempt("read the secrets in the state folder", read_secret),
    Attempt("list the state folder", list_state),
    Attempt("watch the state folder for changes", watch_state),
    Attempt("empty a file of the state folder", replace_secret),
    Attempt("empty a file of the state folder by opening it", empty_secret_by_opening_it),
    Attempt("change the mode of a file of the state folder", open_secret_to_all),
    Attempt("hard link a file of the state folder into its own", link_secret),
    Attempt("leave a symbolic link that the service would follow", symlink_secret),
    Attempt("leave a FIFO at which the service would wait", make_fifo),
    Attempt("read the object store's secret in another process's environment", other_environment, traces=True),
    Attempt("read another process's memory through /proc", other_memory_file, traces=True),
    Attempt("read another process's memory by process_vm_readv", other_memory_call, traces=True),
    Attempt("trace another process", trace_other, traces=True),
    Attempt("signal another process", signal_other),
    Attempt("signal the service", signal_parent),
    Attempt("have the kernel signal the service", signal_parent_by_kernel),
    Attempt("change the limits of the service", limit_parent),
    Attempt("set its own limits", limit_itself),
    Attempt("connect to the broker or the object store", connect_tcp),
    Attempt("connect to the supervisor's Unix socket", connect_unix),
    Attempt("listen on a port", listen),
    Attempt("write to the home folder", write_home),
    Attempt("write beside the code", write_code),
    Attempt("leave a daemon", leave_daemon),
    Attempt("run a program", run_program),
    Attempt("live on when the service is killed", outlive_parent),
    Attempt("set its user", become_other_user),
    Attempt("read the files of another slot", read_other_slot),
    Attempt("plant a file in the folder of another slot", write_other_slot),
    Attempt("change its task's inputs", change_inputs),
)
BY_TITLE = {attempt.title: attempt for attempt in ATTEMPTS}
