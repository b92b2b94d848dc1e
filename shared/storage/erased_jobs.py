"""The index of jobs that were erased a short time ago.

An attempt that runs while its job is erased may store an output afterwards. Such an attempt ends by itself, or is
stopped at its deadline; until then the janitor deletes what it writes: see `shared.runtime.settle.erased_sweep`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from shared.messages.refs import OutputRef
from shared.storage import keys
from shared.storage.errors import ArtifactAltered
from shared.storage.protocols import Artifacts, Documents

LONGEST_ATTEMPT_S = 86_400.0
"""Longer than any attempt may take, seconds: nobody writes for a job that has ended so long ago."""


@dataclass(frozen=True, slots=True)
class ErasedJob:
    """A job that was erased."""

    tenant: str
    job: str
    noted: datetime
    """When, by the object store's clock, with time zone."""

    @property
    def key(self) -> str:
        """Key of the entry."""
        return keys.erased(self.tenant, self.job)


class _Output(BaseModel):
    model_config = ConfigDict(frozen=True)

    output: OutputRef | None = None


def note(documents: Documents, tenant: str, job: str, output: OutputRef | None) -> None:
    """Add a job, before anything of it is deleted; ``output`` is where its finished files are copied.

    Raises StoreUnavailable, ArtifactRefused.
    """
    place: JsonValue = None if output is None else {"bucket": output.bucket, "prefix": output.prefix}
    documents.put(keys.erased(tenant, job), {"output": place})


def entries(artifacts: Artifacts) -> Iterator[ErasedJob]:
    """All entries; other objects under the prefix are skipped. Raises StoreUnavailable, ArtifactRefused."""
    for entry in artifacts.list_prefix(keys.ERASED):
        match entry.key.removeprefix(keys.ERASED).split("/"):
            case [tenant, job]:
                yield ErasedJob(tenant, job, entry.modified)


def output_of(documents: Documents, job: ErasedJob) -> OutputRef | None:
    """Where the job's finished files are copied; None for the artifact bucket, and where the entry can't be read.

    Raises StoreUnavailable, ArtifactRefused.
    """
    try:
        return _Output.model_validate(documents.get(job.key)).output
    except (ValidationError, ArtifactAltered):
        return None
