"""Which attempts have frames in the store: an index of its own, so that leftovers are found without listing all jobs.

An entry is written before an attempt's first chunk and deleted once its chunks are gone. Its key names the attempt; it
has no content. What it is for: the attempts of killed services, and sweeps that failed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from shared.storage import keys
from shared.storage.protocols import Artifacts


@dataclass(frozen=True, slots=True)
class FramesEntry:
    """An attempt that has, or had, frames in the store."""

    tenant: str
    job: str
    stage: str
    attempt: str
    noted: datetime
    """By the store's clock, with its time zone."""

    @property
    def chunks_prefix(self) -> str:
        """Where the attempt's frames lie."""
        return keys.attempt_prefix(self.tenant, self.job, self.stage, self.attempt)

    @property
    def key(self) -> str:
        """The entry's own object."""
        return keys.frames_entry(self.tenant, self.job, self.stage, self.attempt)


def note(store: Artifacts, tenant: str, job: str, stage: str, attempt: str) -> None:
    """Enter an attempt; before its first chunk is stored. Raises StoreUnavailable."""
    store.put_bytes(b"", keys.frames_entry(tenant, job, stage, attempt))


def forget(store: Artifacts, tenant: str, job: str, stage: str, attempt: str) -> None:
    """Delete the entry of an attempt that ended and whose chunks are gone. Raises StoreUnavailable."""
    store.delete([keys.frames_entry(tenant, job, stage, attempt)])


def entries(store: Artifacts) -> Iterator[FramesEntry]:
    """All entries, a job's together; other objects under the prefix are passed over. Raises StoreUnavailable."""
    for found in store.list_prefix(keys.FRAMES):
        match found.key.removeprefix(keys.FRAMES).split("/"):
            case [tenant, job, stage, attempt]:
                yield FramesEntry(tenant, job, stage, attempt, found.modified)
