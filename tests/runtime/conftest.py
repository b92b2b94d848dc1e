"""Fixtures of the runtime's tests: a stage in memory, and the real object store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.storage.object_store import ObjectStore
from shared.storage.settings import StorageSettings
from tests.conftest import Infrastructure
from tests.runtime import real_stage
from tests.runtime.memory_stage import FACE, MemoryStage
from tests.runtime.real_stage import RealStage


@pytest.fixture
def face(tmp_path: Path) -> MemoryStage:
    """The face stage."""
    return MemoryStage(FACE, tmp_path)


@pytest.fixture
def last(tmp_path: Path) -> MemoryStage:
    """The face stage, which makes one attempt."""
    return MemoryStage(FACE, tmp_path, max_attempts=1)


@pytest.fixture
def stage(
    stack: Infrastructure, tmp_path: Path, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RealStage]:
    """A stage with a real worker process, on the real broker and object store."""
    monkeypatch.setenv("PYTHONPATH", str(real_stage.ROOT))
    one = RealStage(topic_prefix, tmp_path)
    yield one
    one.close()


@pytest.fixture
def store(stack: Infrastructure, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The real object store, whose operations do not retry."""
    monkeypatch.setenv("LIPSTAGE_CACHE_KEY", "a-secret-of-the-tests")
    return ObjectStore.open(StorageSettings())
