"""The object storage of a service, with the session's real object store."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shared.local import ports
from shared.storage.artifacts import ArtifactStore
from shared.storage.bucket import ensure
from shared.storage.cache import StageCache
from shared.storage.client import connect
from shared.storage.documents import DocumentStore
from shared.storage.inputs import InputStore
from shared.storage.settings import StorageSettings
from tests.storage.faulty import FaultyStore, faulty_store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> StorageSettings:
    for name in [name for name in os.environ if name.startswith(("LIPSTAGE_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LIPSTAGE_CACHE_KEY", "a-secret-of-the-tests")
    return StorageSettings()


@pytest.fixture
def client(stack, settings: StorageSettings, monkeypatch: pytest.MonkeyPatch) -> "S3Client":
    for name, value in stack.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    made = connect(settings)
    ensure(made, settings)
    return made


@pytest.fixture
def artifacts(client: "S3Client", settings: StorageSettings) -> ArtifactStore:
    return ArtifactStore(client, settings)


@pytest.fixture
def documents(client: "S3Client", settings: StorageSettings) -> DocumentStore:
    return DocumentStore(client, settings)


@pytest.fixture
def inputs(client: "S3Client", settings: StorageSettings) -> InputStore:
    return InputStore(client, settings)


@pytest.fixture
def cache(artifacts: ArtifactStore, documents: DocumentStore, settings: StorageSettings) -> StageCache:
    return StageCache(artifacts, documents, settings)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(os.urandom(300_000))
    return path


@pytest.fixture
def unused_endpoint() -> str:
    return f"http://127.0.0.1:{ports.pick(1)[0]}"


@pytest.fixture
def faulty(client: "S3Client", monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    """A proxy in front of the real object store; later connections use it."""
    with faulty_store(client.meta.endpoint_url) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.url)
        yield store
