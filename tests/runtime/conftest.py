"""Fixtures of the runtime's tests: a stage in memory, and the real object store."""

from pathlib import Path

import pytest

from shared.storage.object_store import ObjectStore
from shared.storage.settings import StorageSettings
from tests.conftest import Infrastructure
from tests.runtime.memory_stage import FACE, MemoryStage


@pytest.fixture
def face(tmp_path: Path) -> MemoryStage:
    """The face stage."""
    return MemoryStage(FACE, tmp_path)


@pytest.fixture
def last(tmp_path: Path) -> MemoryStage:
    """The face stage, which makes one attempt."""
    return MemoryStage(FACE, tmp_path, max_attempts=1)


@pytest.fixture
def store(stack: Infrastructure, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The real object store, whose operations do not retry."""
    monkeypatch.setenv("LIPSTAGE_CACHE_KEY", "a-secret-of-the-tests")
    return ObjectStore.open(StorageSettings())
