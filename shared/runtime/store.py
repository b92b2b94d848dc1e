"""The storage that one service uses, as one value."""

from dataclasses import dataclass
from typing import Self

from shared.storage.artifacts import ArtifactStore
from shared.storage.cache import StageCache
from shared.storage.client import connect
from shared.storage.documents import DocumentStore
from shared.storage.inputs import InputStore
from shared.storage.settings import StorageSettings


@dataclass(frozen=True, slots=True)
class Store:
    """Thread-safe; shared by all slots of a service."""

    settings: StorageSettings
    artifacts: ArtifactStore
    documents: DocumentStore
    inputs: InputStore
    cache: StageCache

    @classmethod
    def open(cls, settings: StorageSettings) -> Self:
        """Connect; no request is sent."""
        client = connect(settings)
        artifacts, documents = ArtifactStore(client, settings), DocumentStore(client, settings)
        cache = StageCache(artifacts, documents, settings)
        return cls(settings, artifacts, documents, InputStore(client, settings), cache)
