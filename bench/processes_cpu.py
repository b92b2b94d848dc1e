"""CPU seconds by part of a running pipeline: services with their workers, broker, object store, trace receiver."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench import sessions
from shared.local.stack_file import Stack


def _own(pid: int) -> float:
    return sum(map(int, sessions.stat(pid)[11:13])) / sessions.TICKS


def _children(pid: int) -> Iterable[int]:
    for task in Path("/proc", str(pid), "task").iterdir():
        yield from map(int, (task / "children").read_text().split())


def _command(pid: int) -> str:
    return Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def read(stack: Stack, services: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds so far: parents, their worker processes and their readers of groups (each a sum over the services),
    the parts of the stack by name, and this process as ``client``. ``services``: process ids by stage."""
    used = {"parents": 0.0, "workers": 0.0, "group readers": 0.0, "client": _own(os.getpid())}
    for pid in services.values():
        used["parents"] += _own(pid)
        for child in _children(pid):
            used["workers" if "shared.slot.worker" in _command(child) else "group readers"] += _own(child)
    for program in stack.supervisor().programs():
        if program.pid:
            used[program.name] = _own(program.pid)
    return used


def between(before: Mapping[str, float], after: Mapping[str, float], divisor: float, digits: int) -> dict[str, float]:
    """What each part used between two readings, divided by ``divisor``."""
    return {part: round((after[part] - before[part]) / divisor, digits) for part in after}
