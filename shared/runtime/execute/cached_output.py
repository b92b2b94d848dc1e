"""The output of a task in the cache: looked up by the content of its inputs, and stored by the attempt that won."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import structlog

from shared.messages.task import RenderTask, StageOutput
from shared.slot.spec import StageSpec
from shared.storage import cache_index, keys
from shared.storage.errors import ArtifactRefused, StoreOutage, StoreUnavailable
from shared.storage.protocols import Storage

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CachedOutput:
    """The place of one task's output; see `shared.storage.cache`."""

    store: Storage
    task: RenderTask
    stage: str
    inputs: Mapping[str, str]
    """Hex SHA-256 by role."""
    digest: str
    """Of everything that the output depends on."""

    @classmethod
    def of(cls, store: Storage, task: RenderTask, spec: StageSpec, inputs: Mapping[str, str]) -> Self | None:
        """None for a stage whose output is not cacheable."""
        if spec.cache_version is None:
            return None
        parameters = spec.cache_parameters(task) if spec.cache_parameters else {}
        digest = store.cache.digest(task.request.tenant, spec.name, spec.cache_version, inputs, parameters)
        return cls(store, task, spec.name, inputs, digest)

    def prefix(self, attempt: str) -> str:
        """Where the attempt stores its artifacts."""
        return keys.cache_prefix(self.task.request.tenant, self.stage, self.digest, attempt)

    def find(self) -> StageOutput | None:
        """The output; None when there is none. Raises StoreOutage."""
        try:
            return self.store.cache.lookup(self.task.request.tenant, self.stage, self.digest)
        except StoreOutage:
            raise
        except StoreUnavailable as e:  # This entry alone: making the output again is quicker than a retry.
            log.warning("cache_entry_unavailable", error=str(e))
            return None

    def note(self, attempt: str) -> None:
        """Add the attempt to the index: an erasure finds its artifacts by their job, and by their inputs. Raises
        StoreUnavailable."""
        tenant, job = self.task.request.tenant, self.task.job_id
        try:
            cache_index.note(self.store.documents, tenant, job, self.stage, self.digest, attempt, self.inputs)
        except ArtifactRefused as e:  # Then it finds them by the job's markers alone.
            log.warning("cached_output_not_noted", error=str(e))

    def store_output(self, output: StageOutput) -> None:
        """Store the output of the attempt that won. Raises StoreUnavailable, ArtifactRefused."""
        self.store.cache.store(self.task.request.tenant, self.stage, self.digest, output)
