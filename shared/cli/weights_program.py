"""The program that opens weights: run where torch is, without credentials, its progress shown as it comes."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from shared.cli import console
from shared.cli.errors import CliError
from shared.cli.printable import clean
from shared.runtime.worker_process import worker_environment

REFUSED = 2
WORTH_A_LINE = 32 << 20
"""Bytes; off a terminal nothing is said of smaller files."""


class Refused(Exception):
    """The program refuses; ``told`` is its code, message and table of faults."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(told["message"])
        self.told = told


def run(engine: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Run an engine's weights program; its report.

    Raises Refused, CliError when the engine's environment is missing or the program breaks down.
    """
    from shared.local.engine_python import engine_python
    from shared.local.errors import StackError
    from shared.local.settings import CHECKOUT
    from shared.slot.engines import engine_spec

    spec = engine_spec(engine)
    if spec.weights is None:
        raise CliError(f"the weights of the engine {engine} are shipped")

    try:
        python = engine_python(engine)
    except StackError as e:
        raise CliError(f"{e.code}: {e.message}", spec.environment.setup if spec.environment else None) from None
    command = [str(python), "-m", spec.weights.program, "--parent", str(os.getpid()), *arguments]
    path = os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = worker_environment(os.environ, "") | {"PYTHONPATH": path}
    del environment["LIPSTAGE_ENGINE"]  # It runs none.
    last: dict[str, Any] = {}
    with tempfile.TemporaryFile("w+") as errors, Progress() as progress:
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True) as program:
            for line in program.stdout or ():
                if not line.startswith("{"):  # What a library has to say.
                    continue
                last = json.loads(line)
                if "progress" in last:
                    progress.show(**last["progress"])
        if "report" in last:
            report: dict[str, Any] = last["report"]
            return report
        if program.returncode == REFUSED and "refused" in last:
            raise Refused(last["refused"])
        errors.seek(0)
        said = (errors.read().strip().splitlines() or [f"exit status {program.returncode}"])[-1]
    raise CliError(f"the weights program broke down: {said}")


class Progress:
    """A line that changes in place on a terminal; off one, a line for each longer thing that is begun. On stderr."""

    def __init__(self) -> None:
        self._rich: Any = None
        self._task: Any = None
        self._begun: tuple[str, str] | None = None

    def __enter__(self) -> Self:
        if console.on_terminal():
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
            from rich.progress import Progress as Rich

            columns = (
                TextColumn("  {task.description:<22}", markup=False),
                BarColumn(32),
                DownloadColumn(),
                TransferSpeedColumn(),
            )
            self._rich = Rich(*columns, console=Console(stderr=True, highlight=False), transient=True)
            self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._rich is not None:
            self._rich.stop()

    def show(self, part: str, doing: str, bytes: int, of: int) -> None:
        """``bytes`` of ``of`` are done."""
        new = (part, doing) != self._begun
        self._begun = (part, doing)
        if self._rich is None:
            if new and of >= WORTH_A_LINE:
                console.note(f"{part}: {doing} {of >> 20} MiB")
            return
        if new:
            if self._task is not None:
                self._rich.remove_task(self._task)
            self._task = self._rich.add_task(clean(f"{part}: {doing}"), total=of)
        self._rich.update(self._task, completed=bytes)
