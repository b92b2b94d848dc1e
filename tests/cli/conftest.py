"""A command line, in this process or in one of its own, files it can take, and deployments on the real stack."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from shared.cli.connection import Connection, connect
from shared.cli.main import app
from tests.conftest import ROOT
from tests.pipeline.conftest import client, pipeline

__all__ = ["client", "pipeline"]
NAMED = (
    *("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_PROPERTIES_FILE", "AWS_ENDPOINT_URL_S3", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "LIPSTAGE_STATE_DIR", "LIPSTAGE_TOPIC_PREFIX"),
)
"""What leads to a stack."""


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
    """Run the command line as a process of its own, with nothing in its environment that leads to a stack but this."""
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


@pytest.fixture
def lipstage() -> Lipstage:
    return Lipstage()


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    path = tmp_path / "portrait.png"
    path.write_bytes(b"not looked at on this side")
    return path


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    path.write_bytes(b"nor is this")
    return path


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without any stack: whoever contacts one fails with exit code 3."""
    for name in NAMED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIPSTAGE_STATE_DIR", str(tmp_path / "no-stack"))


@pytest.fixture
def deployment(stack: object, monkeypatch: pytest.MonkeyPatch, lipstage: Lipstage) -> Iterator[Connection]:
    """Topics and buckets that no other test uses, on the real broker and store; no service listens."""
    name = f"t{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("LIPSTAGE_TOPIC_PREFIX", f"{name}.")
    from shared.storage.bucket import ensure

    assert lipstage("topics", "apply").code == 0
    connection = connect()
    ensure(connection.s3, connection.storage_settings)
    yield connection
    connection.tracing.shutdown()
