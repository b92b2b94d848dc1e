"""The object storage of a service, with the session's real object store."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shared.local import ports
from shared.storage.artifacts import ArtifactStore
from shared.storage.bucket import ensure
from shared.storage.cache import StageCache
from shared.storage.client import connect
from shared.storage.direct_client import connect_directly
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


@pytest.fixture(params=[connect, connect_directly], ids=["boto3", "direct"])
def connecting(request: pytest.FixtureRequest) -> "Callable[[StorageSettings], S3Client]":
    """Both ways to a client: what is stored and raised must not depend on which one a service has."""
    way: Callable[[StorageSettings], S3Client] = request.param
    return way


@pytest.fixture
def service_client(
    client: "S3Client", connecting: "Callable[[StorageSettings], S3Client]", settings: StorageSettings
) -> "S3Client":
    return connecting(settings)


@pytest.fixture
def artifacts(service_client: "S3Client", settings: StorageSettings) -> ArtifactStore:
    return ArtifactStore(service_client, settings)


@pytest.fixture
def documents(service_client: "S3Client", settings: StorageSettings) -> DocumentStore:
    return DocumentStore(service_client, settings)


@pytest.fixture
def inputs(service_client: "S3Client", settings: StorageSettings) -> InputStore:
    return InputStore(service_client, settings)


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
