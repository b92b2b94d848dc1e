"""The command line, in this process or in one of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from shared.cli.main import app
from shared.client import JobState
from tests.client.conftest import deployment, portrait, services, speech
from tests.conftest import ROOT
from tests.pipeline.conftest import client, pipeline

__all__ = ["client", "deployment", "pipeline", "portrait", "services", "speech"]
NAMED = (
    *("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_PROPERTIES_FILE", "AWS_ENDPOINT_URL_S3", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "LIPSTAGE_STATE_DIR", "LIPSTAGE_TOPIC_PREFIX"),
)
"""Variables that name a stack."""


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Lipstage:
    """Runs the command line as a script would: no terminal."""

    def __call__(self, *arguments: object) -> Ran:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)


def alone(*arguments: object, **environment: object) -> Ran:
    """Run the command line as a process; of the variables that name a stack it gets those of ``environment`` alone."""
    variables = {name: value for name, value in os.environ.items() if name not in NAMED}
    done = subprocess.run(
        [sys.executable, "-m", "shared.cli.main", *map(str, arguments)],
        env=variables | {name: str(value) for name, value in environment.items()},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class KnownJob:
    """A client that knows one job."""

    state: JobState

    def job(self, *_: object, **__: object) -> JobState:
        return self.state

    def stages_without_consumers(self, *_: object) -> tuple[str, ...]:
        return ()

    def jobs(self, *_: object, **__: object) -> list[JobState]:
        return [self.state]


@pytest.fixture
def lipstage() -> Lipstage:
    return Lipstage()


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without any stack: whoever contacts one fails with exit code 3."""
    for name in NAMED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIPSTAGE_STATE_DIR", str(tmp_path / "no-stack"))
