"""CPU time of processes, and the processes of a session, from /proc."""

import os
import signal
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; empty when the process has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def pids() -> list[int]:
    """All processes."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, and of its children that have ended."""
    return sum(map(int, stat(pid)[11:15])) / TICKS


def members(session: int) -> list[int]:
    """The processes of a session that run."""
    found = [(pid, stat(pid)) for pid in pids()]
    return [pid for pid, fields in found if fields and fields[0] not in "ZX" and int(fields[3]) == session]


def kill(session: int) -> None:
    """SIGKILL every process of a session, those included that it starts meanwhile."""
    while left := members(session):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
