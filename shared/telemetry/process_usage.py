"""CPU time and memory of this service and its worker processes, read from /proc at each scrape; 0 without a /proc."""

import os
import resource
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from shared.telemetry import metrics

PROC = Path("/proc")
MAX_PROCESSES = 256
"""Hostile media must not make a scrape endless by a worker process that starts others."""
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def _descendants(pid: int) -> Iterator[int]:
    """The process and the processes that it and its children have started, at most ``MAX_PROCESSES``."""
    found = [pid]
    for process in found:  # Grows meanwhile.
        yield process
        with suppress(OSError):
            for task in (PROC / str(process) / "task").iterdir():
                found += map(int, (task / "children").read_text().split())
        del found[MAX_PROCESSES:]


def _statistics(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on, which is field 3; the name before may contain spaces."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def memory_bytes(pid: int | None) -> int:
    """Resident memory of the process and its descendants; pages that they share count more than once."""
    pages = 0
    for process in _descendants(pid) if pid is not None else ():
        with suppress(OSError, IndexError):
            pages += int(_statistics(process)[21])
    return pages * _PAGE_BYTES


def cpu_seconds() -> float:
    """CPU time of this process and of every process that it has started, ended ones included."""
    seconds = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):  # The second: children that have ended.
        usage = resource.getrusage(who)
        seconds += usage.ru_utime + usage.ru_stime
    _, *children = _descendants(os.getpid())
    for process in children:
        with suppress(OSError, IndexError):
            # User and system time, of the process and of its own children that have ended.
            seconds += sum(map(int, _statistics(process)[11:15])) / _TICKS
    return seconds


class CpuTime(Collector):
    """The metric of the CPU time of one service."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._highest = 0.0

    def describe(self) -> Iterable[CounterMetricFamily]:
        """The metric without a value, for the registry."""
        yield CounterMetricFamily(metrics.CPU_SECONDS.name, metrics.CPU_SECONDS.meaning, labels=["stage"])

    def collect(self) -> Iterable[CounterMetricFamily]:
        """The metric as it is now."""
        # A child that ends between two readings could let the sum go back, which a counter never does.
        self._highest = max(self._highest, cpu_seconds())
        (family,) = self.describe()
        family.add_metric([self._stage], self._highest)
        yield family


_registered: list[CpuTime] = []


def register_cpu_time(stage: str) -> None:
    """Show the CPU time of this process as that of the service ``stage``, instead of an earlier one."""
    while _registered:
        REGISTRY.unregister(_registered.pop())
    _registered.append(CpuTime(stage))
    REGISTRY.register(_registered[0])
