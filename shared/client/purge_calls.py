"""The client's methods for purges of several jobs."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shared.client import purge, purge_plan, purged_dead_letters
from shared.client.connection import Connection
from shared.client.errors import ClientError, InvalidRequest, Unreachable
from shared.client.job_key import JobKey, checked_tenant
from shared.client.purge import Purged
from shared.client.purge_plan import PurgePlan
from shared.messages.names import DEFAULT_TENANT, OWNER


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """The result of purging one of several jobs."""

    job: JobKey
    purged: Purged | None = None
    """What was deleted; None when the job was not purged."""
    error: ClientError | None = None
    """Why it was not: JobNotFound, JobPurged, JobNotFinished, PurgeIncomplete."""


class PurgeCalls(ABC):
    """Purges the jobs of an owner or of a tenant, and any list of jobs."""

    @property
    @abstractmethod
    def connection(self) -> Connection:
        """The Kafka and S3 clients."""

    def purge_plan(self, *, tenant: str = DEFAULT_TENANT, owner: str | None = None) -> PurgePlan:
        """The jobs of a tenant, or of one owner of it, that have not been purged; deletes nothing.

        Jobs of versions before this one have no stored owner: the plan lists them apart. Raises InvalidRequest,
        StoreUnreachable, BrokerUnreachable, PurgeIncomplete when the bucket can't be listed.
        """
        if owner is not None and re.fullmatch(OWNER, owner) is None:
            raise InvalidRequest(f"{owner!r} is not an owner", "an owner has 1 to 128 of A-Z, a-z, 0-9 and @._+-")
        return purge_plan.plan(self.connection, checked_tenant(tenant), owner)

    def purge_jobs(self, jobs: Iterable[JobKey], *, force: bool = False) -> Iterator[PurgeResult]:
        """Purge one job after the other; yields the result of each, errors too.

        ``force`` also purges jobs that have not ended: they are cancelled. Raises Unreachable.
        """
        wanted = list(jobs)
        dead_letters = purged_dead_letters.find(self.connection, wanted)
        for job in wanted:
            try:
                yield PurgeResult(job, purge.purge(self.connection, job, force=force, dead_letters=dead_letters))
            except Unreachable:
                raise
            except ClientError as e:
                yield PurgeResult(job, error=e)
