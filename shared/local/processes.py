"""Finds and ends the stack's processes by their entries in /proc, never by name or by pid alone."""

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MARK = "LIPSTAGE_STACK"
"""Environment variable that every process of a stack inherits; its value identifies the stack."""

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process: pid and start time (clock ticks since boot), so that a reused pid is a different process."""

    pid: int
    started: int


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    parent: int
    group: int
    started: int


def identify(pid: int) -> ProcessId | None:
    """The process with that pid; None when there is none, or only a zombie."""
    stat = _stat(pid)
    return ProcessId(pid, stat.started) if stat and stat.state not in "ZX" else None


def alive(process: ProcessId) -> bool:
    """Whether that process still runs."""
    return identify(process.pid) == process


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and all its descendants use."""

    children: int
    memory_mb: int
    """Sum of their resident memory (RSS), MiB; pages that they share count once for each."""


def usage(pids: Iterable[int]) -> dict[int, Usage]:
    """The usage of each of these processes, with its descendants, from one reading of /proc."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        if (stat := _stat(pid)) and stat.state not in "ZX":
            children.setdefault(stat.parent, []).append(pid)
    result = {}
    for root in pids:
        family = [root]
        for pid in family:
            family += children.get(pid, [])
        result[root] = Usage(len(family) - 1, round(sum(map(_resident_mb, family))))
    return result


def _resident_mb(pid: int) -> float:
    """Resident memory, MiB; 0 when the process has ended. Readable for processes that hide the rest, as workers do."""
    try:
        fields = (PROC / str(pid) / "statm").read_text().split()
    except OSError:
        return 0.0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def stack_processes(mark: str) -> set[ProcessId]:
    """Every live process of the stack: those with its mark, their process groups and all their descendants.

    The caller, its ancestors and their groups are excluded.
    """
    stats = {pid: stat for pid in _pids() if (stat := _stat(pid)) and stat.state not in "ZX"}
    excluded = _ancestors(stats)
    marked = {pid for pid in stats if _carries(pid, mark)} - excluded
    groups = {stats[pid].group for pid in marked} - {stats[pid].group for pid in excluded if pid in stats}
    result = marked | {pid for pid, stat in stats.items() if stat.group in groups}
    while children := {pid for pid, stat in stats.items() if stat.parent in result} - result:
        result |= children
    return {ProcessId(pid, stats[pid].started) for pid in result - excluded}


def end(mark: str, timeout: float) -> set[ProcessId]:
    """SIGKILL every process of the stack until none is left; returns those that remain after ``timeout`` seconds."""
    until = time.monotonic() + timeout
    while left := stack_processes(mark):
        for process in left:
            kill(process)
        if time.monotonic() > until:
            return left
        wait_gone(left, 0.2)
    return set()


def kill(process: ProcessId, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to that process; no error when it has ended."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        # The open handle keeps the pid from being reused after this check.
        if alive(process):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def wait_gone(processes: Iterable[ProcessId], timeout: float) -> bool:
    """Wait until none of them runs; False after ``timeout`` seconds."""
    left = list(processes)
    until = time.monotonic() + timeout
    while left := [process for process in left if alive(process)]:
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _pids() -> Iterable[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def _stat(pid: int) -> _Stat | None:
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The command in parentheses may hold spaces and parentheses itself; proc(5) counts fields from the last one.
    fields = text[text.rindex(")") + 2 :].split()
    return _Stat(state=fields[0], parent=int(fields[1]), group=int(fields[2]), started=int(fields[19]))


def _carries(pid: int, mark: str) -> bool:
    try:
        environment = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return f"{MARK}={mark}".encode() in environment.split(b"\0")


def _ancestors(stats: dict[int, _Stat]) -> set[int]:
    result, pid = {1}, os.getpid()
    while pid in stats and pid not in result:
        result.add(pid)
        pid = stats[pid].parent
    return result
