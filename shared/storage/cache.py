"""Products found again by content: the same inputs, parameters and stage version give the same output."""

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
    """Cached outputs of one tenant are never found by another. Thread-safe; raises StoreUnavailable.

    An entry older than half the cache's retention is a miss: a job that begins on it now, or a dead letter of that
    job weeks later, must still find its objects. Entries may be replaced; each names objects of its own.
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
        """Hex HMAC-SHA-256 of all that the output depends on; ``inputs`` are SHA-256 digests by role.

        Keyed, because a plain digest would tell whoever lists the bucket whether a known picture was rendered.
        """
        subject: list[JsonValue] = [tenant, stage, version, dict(inputs), dict(parameters)]
        return hmac.new(self._secret, encode(subject), hashlib.sha256).hexdigest()

    def lookup(self, tenant: str, stage: str, digest: str) -> StageOutput | None:
        """The cached output, marked ``cached``; None when there is none, it is too old, can't be read or its objects
        are gone. Work that was saved once must never be what stops a job."""
        try:
            document = self._documents.read(keys.cache_entry(tenant, stage, digest))
            if document is None or document.age_s > self._max_age_s:
                return None
            output = StageOutput.model_validate(document.value)
            if not all(self._artifacts.exists(ref) for ref in output.artifacts.values()):
                return None
        except (ArtifactAltered, ArtifactRefused, ValidationError, KeyError):
            # Damaged, refused, or of a version with another form or other buckets: as good as none, and replaced.
            return None
        return output.model_copy(update={"cached": True})

    def forget(self, tenant: str, ref: ArtifactRef) -> None:
        """Let the output of this artifact be made anew, if it is a cached one of that tenant: it can't be read, and
        every job with the same inputs would fail by it. Raises ArtifactRefused."""
        entry = keys.cache_entry_of(ref.key)
        if entry is not None and entry.startswith(f"cache/{tenant}/"):
            self._artifacts.delete([entry])

    def store(self, tenant: str, stage: str, digest: str, output: StageOutput) -> None:
        """Remember a output whose artifacts lie under ``keys.cache_prefix``. Raises ArtifactRefused."""
        self._documents.put(keys.cache_entry(tenant, stage, digest), output.model_dump(mode="json"))
