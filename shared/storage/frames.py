"""The index of attempts that have frames in the object store, so that leftovers are found without listing all jobs.

An entry is written before an attempt's first chunk and deleted after its chunks. Its key names the attempt; it has no
content. The janitor uses it after killed attempts and failed cleanups.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from shared.storage import keys
from shared.storage.protocols import Artifacts


@dataclass(frozen=True, slots=True)
class FramesEntry:
    """An attempt that has, or had, frames in the object store."""

    tenant: str
    job: str
    stage: str
    attempt: str
    noted: datetime
    """When the entry was written, by the object store's clock, with time zone."""

    @property
    def chunks_prefix(self) -> str:
        """Prefix of the attempt's frames."""
        return keys.attempt_prefix(self.tenant, self.job, self.stage, self.attempt)

    @property
    def key(self) -> str:
        """Key of the entry."""
        return keys.frames_entry(self.tenant, self.job, self.stage, self.attempt)


def note(store: Artifacts, tenant: str, job: str, stage: str, attempt: str) -> None:
    """Add an entry; call this before the attempt's first chunk is stored. Raises StoreUnavailable, ArtifactRefused."""
    store.put_bytes(b"", keys.frames_entry(tenant, job, stage, attempt))


def forget(store: Artifacts, tenant: str, job: str, stage: str, attempt: str) -> None:
    """Delete the entry of an attempt whose chunks are deleted. Raises StoreUnavailable, ArtifactRefused."""
    store.delete([keys.frames_entry(tenant, job, stage, attempt)])


def entries(store: Artifacts) -> Iterator[FramesEntry]:
    """All entries, grouped by job; other objects under the prefix are skipped. Raises StoreUnavailable."""
    for entry in store.list_prefix(keys.FRAMES):
        match entry.key.removeprefix(keys.FRAMES).split("/"):
            case [tenant, job, stage, attempt]:
                yield FramesEntry(tenant, job, stage, attempt, entry.modified)
