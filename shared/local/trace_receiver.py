"""The program of the local trace receiver, `traces`, whose code only its own process loads."""

import sys

from shared.local.installation import import_path
from shared.local.program import Program
from shared.local.settings import LocalSettings

NAME = "traces"


def program(settings: LocalSettings, port: int) -> Program:
    """The receiver's program."""
    path = settings.state / "traces" / "spans.sqlite"
    options = ("--port", str(port), "--file", str(path), "--keep", str(settings.traces_kept))
    argv = (sys.executable, "-m", "shared.local.traces", *options)
    return Program(NAME, argv, import_path({}), stop_seconds=3)
