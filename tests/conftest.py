"""The real broker and object store, once per test session; services where a test requests them."""

import importlib.util
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.local import stack as local
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack

ROOT = Path(__file__).resolve().parents[1]
# `make test-sonic` runs them, in the environment with torch.
collect_ignore = [] if importlib.util.find_spec("torch") else ["sonic", "parity"]


@dataclass(frozen=True)
class Infrastructure:
    """A running broker, object store and trace receiver."""

    settings: LocalSettings
    stack: Stack
    environment: dict[str, str]

    @property
    def bootstrap_servers(self) -> str:
        return self.stack.bootstrap_servers

    @property
    def s3_endpoint_url(self) -> str:
        return self.stack.s3_endpoint_url


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Infrastructure]:
    """Start a broker, an object store and a trace receiver, whatever the caller's environment; always stop them."""
    jars = Path(os.environ.get("LIPSTAGE_JARS_DIR", ROOT / ".lipstage" / "jars"))
    settings = LocalSettings(
        state_dir=tmp_path_factory.mktemp("stack"),
        jars_dir=jars,
        kafka_bootstrap_servers="",
        s3_endpoint_url="",
        otlp_endpoint="",
    )
    started = local.up(settings, services=False)
    environment = started.environment(local.credentials_of(started)) | {"LIPSTAGE_JARS_DIR": str(jars)}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield Infrastructure(settings, started, environment)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        local.down(settings, purge=True)


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that no other test uses."""
    return f"t{uuid.uuid4().hex[:8]}."
