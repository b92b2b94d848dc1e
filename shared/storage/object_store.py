"""The facade of the object store: artifacts, documents, inputs and the cache of stage outputs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from shared.storage.artifacts import ArtifactStore
from shared.storage.cache import StageCache
from shared.storage.direct_client import connect_directly
from shared.storage.documents import DocumentStore
from shared.storage.inputs import InputStore
from shared.storage.retry import Retry, once
from shared.storage.settings import StorageSettings


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """The stores of one deployment. Thread-safe; shared by all slots of a service."""

    settings: StorageSettings
    artifacts: ArtifactStore
    documents: DocumentStore
    inputs: InputStore
    cache: StageCache

    @classmethod
    def open(cls, settings: StorageSettings, retry: Callable[[Callable[[], bool]], Retry] = lambda _: once) -> Self:
        """Construct the stores without sending a request.

        ``retry`` returns the retry policy of every operation. Its argument is a probe, which returns whether the object
        store works for other objects.
        """
        client = connect_directly(settings)
        policy = retry(ArtifactStore(client, settings).answers)
        artifacts = ArtifactStore(client, settings, policy)
        documents = DocumentStore(client, settings, policy)
        cache = StageCache(artifacts, documents, settings)
        return cls(settings, artifacts, documents, InputStore(client, settings, policy), cache)
