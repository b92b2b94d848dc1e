"""How the process of a worker comes into being: as a program of its own, or forked by a template."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Protocol


class Process(Protocol):
    """A worker's process, in the form of `subprocess.Popen`."""

    pid: int
    returncode: int | None
    stdout: IO[bytes] | None

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while the process runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; returns the exit status. Raises subprocess.TimeoutExpired."""

    def kill(self) -> None:
        """Kill the process, if it still runs."""


Launch = Callable[[Sequence[str], Mapping[str, str], int], Process]
"""Starts `shared.slot.worker` with arguments, environment and the descriptor of its end of the pipe. The kernel kills
the process when the calling thread ends."""


def start_program(arguments: Sequence[str], environment: Mapping[str, str], pipe: int) -> Process:
    """Start a worker as a program of its own. Raises OSError."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "shared.slot.worker", *arguments],
        pass_fds=[pipe],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
