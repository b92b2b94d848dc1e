"""Runs the program that opens an engine's weights: on the Python that has torch, without credentials."""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from shared.local.engine_python import engine_python
from shared.local.installation import import_path
from shared.runtime.execute.worker_environment import worker_environment
from shared.slot.engines import engine_spec

REFUSED = 2
"""Exit status of a program that refuses its input."""

OnProgress = Callable[[str, str, int, int], None]
"""Gets a part of the model, what is done with it, the bytes done and the bytes in total."""


class WeightsRefused(Exception):
    """The program refuses the weights; ``report`` holds its code, message and table of faults."""

    def __init__(self, report: dict[str, Any]) -> None:
        super().__init__(report["message"])
        self.report = report


class ProgramFailed(Exception):
    """The program ended without a report."""


def run(engine: str, arguments: Sequence[str], on_progress: OnProgress) -> dict[str, Any]:
    """Run the weights program of ``engine`` and return its report.

    Raises WeightsRefused, ProgramFailed, StackError (TORCH_MISSING) when no interpreter has the engine's libraries, and
    ValueError for an engine whose weights are shipped.
    """
    spec = engine_spec(engine)
    weights = spec.weights
    if weights is None:
        raise ValueError(f"the weights of the engine {engine} are shipped")
    python = engine_python(engine)
    command = [str(python), "-P", "-m", weights.program, "--parent", str(os.getpid()), *arguments]
    variables = (f"LIPSTAGE_{engine}_*".upper(), *spec.variables)
    environment = worker_environment(os.environ, "", variables) | import_path(os.environ)
    del environment["LIPSTAGE_ENGINE"]  # The program runs no engine.
    last: dict[str, Any] = {}
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as program:
            for line in program.stdout or ():
                if not line.startswith("{"):  # A library's own output.
                    continue
                last = json.loads(line)
                if "progress" in last:
                    progress = last["progress"]
                    on_progress(progress["part"], progress["doing"], progress["bytes"], progress["of"])
        if "report" in last:
            report: dict[str, Any] = last["report"]
            return report
        if program.returncode == REFUSED and "refused" in last:
            raise WeightsRefused(last["refused"])
        errors.seek(0)
        raise ProgramFailed((errors.read().strip().splitlines() or [f"exit status {program.returncode}"])[-1])
