"""A command as the first process of a container, such as a job of the chart, ends on SIGTERM."""

import subprocess
import sys

import pytest

COMMAND = """
import os, signal
own = os.getpid()
os.getpid = lambda: {pid}
from shared.cli import main
main.app = lambda prog_name: (signal.raise_signal(signal.SIGTERM), signal.pause())
main.main()
"""


@pytest.mark.parametrize(("pid", "ended"), [("1", 143), ("own", -15)], ids=["first process", "another"])
def test_a_command_ends_on_sigterm(pid: str, ended: int) -> None:
    done = subprocess.run([sys.executable, "-c", COMMAND.format(pid=pid)], timeout=60, check=False)
    assert done.returncode == ended
