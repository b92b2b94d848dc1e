"""The cache of stage outputs, by content: the same inputs, parameters and stage version have the same output."""

import hashlib
import hmac
from collections.abc import Mapping

from pydantic import JsonValue, ValidationError

from shared.messages.refs import ArtifactRef
from shared.messages.task import StageOutput
from shared.storage import keys
from shared.storage.artifacts import ArtifactStore
from shared.storage.documents import DocumentStore, encode
from shared.storage.errors import ArtifactAltered, ArtifactRefused
from shared.storage.settings import StorageSettings

DAY_S = 86_400.0


class StageCache:
    """Caches stage outputs, separately for each tenant. Thread-safe; every method raises StoreUnavailable.

    An entry older than half the cache's retention is a miss: a job that starts with it now, or the replay of its dead
    letter weeks later, must still find the objects. Entries may be replaced; each names its own objects.
    """

    def __init__(self, artifacts: ArtifactStore, documents: DocumentStore, settings: StorageSettings) -> None:
        self._artifacts = artifacts
        self._documents = documents
        self._secret = settings.cache_secret
        self._max_age_s = settings.retention_cache_days * DAY_S / 2

    def digest(
        self,
        tenant: str,
        stage: str,
        version: str,
        inputs: Mapping[str, str],
        parameters: Mapping[str, JsonValue],
    ) -> str:
        """Hex HMAC-SHA-256 of everything that the output depends on; ``inputs`` are hex SHA-256 digests by role.

        The digest is keyed: a plain one would reveal to anybody who lists the bucket whether a known picture was
        rendered.
        """
        content: list[JsonValue] = [tenant, stage, version, dict(inputs), dict(parameters)]
        return hmac.new(self._secret, encode(content), hashlib.sha256).hexdigest()

    def lookup(self, tenant: str, stage: str, digest: str) -> StageOutput | None:
        """The cached output, marked ``cached``; None when there is none, it is too old or unreadable, or its objects
        are deleted. The cache must never stop a job."""
        try:
            document = self._documents.read(keys.cache_entry(tenant, stage, digest))
            if document is None or document.age_s > self._max_age_s:
                return None
            output = StageOutput.model_validate(document.value)
            if not all(self._artifacts.exists(ref) for ref in output.artifacts.values()):
                return None
        except (ArtifactAltered, ArtifactRefused, ValidationError, KeyError):
            # Damaged, refused, or of a version with another form or other buckets: a miss, and replaced.
            return None
        return output.model_copy(update={"cached": True})

    def forget(self, tenant: str, ref: ArtifactRef) -> None:
        """Delete the cache entry that names an unreadable artifact, if it is the tenant's: otherwise every job with the
        same inputs would fail. Raises ArtifactRefused."""
        entry = keys.cache_entry_of(ref.key)
        if entry is not None and entry.startswith(f"cache/{tenant}/"):
            self._artifacts.delete([entry])

    def store(self, tenant: str, stage: str, digest: str, output: StageOutput) -> None:
        """Store an output whose artifacts lie under ``keys.cache_prefix``. Raises ArtifactRefused."""
        self._documents.put(keys.cache_entry(tenant, stage, digest), output.model_dump(mode="json"))
