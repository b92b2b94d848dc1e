"""The client's methods for batches."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from shared.client.connection import Connection
from shared.client.job_key import JobKey, checked_tenant
from shared.messages.events import AnyEvent
from shared.messages.names import DEFAULT_TENANT
from shared.messages.scan_limits import MAX_EVENTS_OF_JOB

if TYPE_CHECKING:
    from shared.client.batch_actions import PurgedJob
    from shared.client.batch_download import FetchedFile
    from shared.client.batches import BatchState


class BatchCalls(ABC):
    """Follows the jobs of a batch, fetches their results, cancels and purges them."""

    @property
    @abstractmethod
    def connection(self) -> Connection:
        """The Kafka and S3 clients."""

    def batch_state(
        self, batch_id: str, *, tenant: str = DEFAULT_TENANT, max_events: int = MAX_EVENTS_OF_JOB
    ) -> "BatchState":
        """The jobs of a batch, from ``render.requests`` and the newest events.

        Raises JobNotFound when no job of it is known, InvalidRequest, BrokerUnreachable, TopicMissing,
        StoreUnreachable, JobDocumentUnreadable.
        """
        from shared.client import batches, manifest

        key = manifest.checked_batch_id(batch_id)
        return batches.read(self.connection, key, checked_tenant(tenant), max_events)

    def follow_batch(
        self, batch: "BatchState", *, timeout_s: float | None = None
    ) -> "Iterator[tuple[AnyEvent | None, BatchState]]":
        """Yield a batch's events as they arrive, until all its known jobs have ended; ``batch`` is kept up to date.

        The event is None when a job's end was read from the object store. Raises WaitTimeout, StoreUnreachable,
        JobDocumentUnreadable.
        """
        from shared.client import batches

        return batches.follow(self.connection, batch, timeout_s=timeout_s)

    def fetch_batch(
        self,
        batch: "BatchState",
        folder: str | Path,
        *,
        poster: bool = False,
        label: str | None = None,
        force: bool = False,
    ) -> "Iterator[FetchedFile]":
        """Download the videos of a batch's done jobs, four at a time, into ``folder/<job id>.mp4``.

        ``label`` names the files by that label of the jobs, ``poster`` fetches the still pictures. Files that are there
        with the right content are left alone; other content is overwritten with ``force`` only. Raises InvalidRequest,
        TargetExists, TargetUnwritable, StoreUnreachable.
        """
        from shared.client import batch_download

        return batch_download.fetch(self.connection, batch, Path(folder), poster=poster, label=label, force=force)

    def cancel_batch(self, batch: "BatchState") -> list[JobKey]:
        """Cancel each job that has not ended; returns these jobs. Rows whose job id another request
        has become ``refused``.

        Raises BrokerUnreachable, RecordRefused, StoreUnreachable, JobDocumentUnreadable.
        """
        from shared.client import batch_actions

        return batch_actions.cancel_batch(self.connection, batch)

    def purge_batch(self, batch: "BatchState", *, force: bool = False) -> "Iterator[PurgedJob]":
        """Purge the jobs of a batch; yields the result of each, with its ``error`` where it was not purged.

        ``force`` also purges jobs that have not ended. A job whose id another request has is left alone. Raises
        Unreachable.
        """
        from shared.client import batch_actions

        return batch_actions.purge_batch(self.connection, batch, force=force)
