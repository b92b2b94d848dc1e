"""The index of cached outputs by the job that made them: an erasure finds what derives from a portrait or a speech.

An entry is written before the output's first artifact. It holds the digests of the inputs, and is as old as the output:
an output whose job has expired, or whose service was killed before it completed the stage, is found all the same. It
lies under the cache's prefix, and the same lifecycle rule deletes both.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.storage import keys
from shared.storage.errors import ArtifactAltered
from shared.storage.protocols import Artifacts, Documents


@dataclass(frozen=True, slots=True, order=True)
class CachedBy:
    """A cacheable output, and the attempt that wrote it, or was about to."""

    tenant: str
    job: str
    stage: str
    digest: str
    attempt: str

    @property
    def key(self) -> str:
        """Key of the entry."""
        return keys.cache_index_entry(self.tenant, self.job, self.stage, self.digest, self.attempt)


class _Inputs(BaseModel):
    model_config = ConfigDict(frozen=True)

    inputs: dict[str, str]
    """Hex SHA-256 by role."""


def note(
    documents: Documents, tenant: str, job: str, stage: str, digest: str, attempt: str, inputs: Mapping[str, str]
) -> None:
    """Add an entry; ``inputs`` are hex SHA-256 digests by role. Raises StoreUnavailable, ArtifactRefused."""
    documents.put(keys.cache_index_entry(tenant, job, stage, digest, attempt), {"inputs": dict(inputs)})


def of_job(artifacts: Artifacts, tenant: str, job: str) -> list[CachedBy]:
    """What a job has cached. Raises StoreUnavailable, ArtifactRefused."""
    return list(_entries(tenant, (one.key for one in artifacts.list_prefix(keys.cache_index_of_job(tenant, job)))))


def of_tenant(artifacts: Artifacts, tenant: str) -> list[CachedBy]:
    """What all jobs of a tenant have cached. Raises StoreUnavailable, ArtifactRefused."""
    return list(_entries(tenant, (one.key for one in artifacts.list_prefix(keys.cache_index_of_tenant(tenant)))))


def inputs_of(documents: Documents, entry: CachedBy) -> frozenset[str]:
    """Digests of the inputs that the output was made from; none where the entry is gone or can't be read.

    Raises StoreUnavailable, ArtifactRefused.
    """
    try:
        return frozenset(_Inputs.model_validate(documents.get(entry.key)).inputs.values())
    except (ValidationError, ArtifactAltered):
        return frozenset()


def _entries(tenant: str, found: Iterable[str]) -> Iterator[CachedBy]:
    prefix = keys.cache_index_of_tenant(tenant)
    for key in found:
        match key.removeprefix(prefix).split("/"):
            case [job, stage, digest, attempt] if job.startswith(keys.INDEXED_JOB):
                yield CachedBy(tenant, job.removeprefix(keys.INDEXED_JOB), stage, digest, attempt)
