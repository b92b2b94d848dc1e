"""A deployment of its own for every test: topics and buckets on the real broker and store; no service listens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.client import Client, Deployment
from shared.client.connection import Connection
from shared.runtime.settings import RuntimeSettings
from shared.storage.bucket import ensure
from tests.client.services import Services
from tests.conftest import create_topics
from tests.pipeline.conftest import pipeline

__all__ = ["pipeline"]


@pytest.fixture
def deployment(topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """Clients of topics that no other test uses; the environment names them, too."""
    monkeypatch.setenv("LIPSTAGE_TOPIC_PREFIX", topic_prefix)
    settings = RuntimeSettings()
    create_topics(settings)
    connection = Connection(Deployment())
    ensure(connection.s3, connection.storage_settings)
    yield connection
    connection.close()


@pytest.fixture
def client(deployment: Connection) -> Iterator[Client]:
    with Client(deployment.deployment) as made:
        yield made


@pytest.fixture
def services(deployment: Connection) -> Services:
    return Services(deployment)


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    path = tmp_path / "portrait.png"
    path.write_bytes(b"not opened by a client")
    return path


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    path.write_bytes(b"not opened either")
    return path
