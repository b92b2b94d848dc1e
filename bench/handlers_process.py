"""A process that renders by calling the four handlers one after the other: see ``bench.checkout.handlers``."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Self

from bench.alone import interpreter
from bench.checkout.handlers import ENVIRONMENT

PROGRAM = Path(__file__).with_name("checkout") / "handlers.py"


class HandlersProcess:
    """The process with a checkout's own code; entering the context waits until its networks are loaded."""

    def __init__(self, checkout: Path) -> None:
        self._process = subprocess.Popen(
            [interpreter(checkout), str(PROGRAM)],
            cwd=checkout,
            env={**os.environ, **ENVIRONMENT, "PYTHONPATH": str(checkout)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        self._line()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def render(self, job: dict[str, Any]) -> dict[str, Any]:
        """Render one job; what ``Handlers.render`` returns. Raises SystemExit when the process has ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a process that renders has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer
