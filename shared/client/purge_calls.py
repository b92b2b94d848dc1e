"""The client's methods for purges of several jobs."""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shared.client.connection import Connection
from shared.client.errors import ClientError, InvalidRequest, Unreachable
from shared.client.job_key import JobKey, checked_tenant
from shared.messages.names import DEFAULT_TENANT, OWNER
from shared.telemetry.pseudonyms import VARIABLE, Pseudonyms, is_pseudonym, of_environment

if TYPE_CHECKING:
    from shared.client.erasure_records import ErasureRecord
    from shared.client.purge import Purged
    from shared.client.purge_plan import PurgePlan
    from shared.client.purged_objects import Count


@dataclass(frozen=True, slots=True)
class PurgeResult:
    """The result of purging one of several jobs."""

    job: JobKey
    purged: "Purged | None" = None
    """What was deleted; None when the job was not purged."""
    error: ClientError | None = None
    """Why it was not: JobNotFound, JobPurged, JobNotFinished, PurgeIncomplete."""


class PurgeCalls(ABC):
    """Purges the jobs of an owner, of a tenant or of an input file, and any list of jobs."""

    @property
    @abstractmethod
    def connection(self) -> Connection:
        """The Kafka and S3 clients."""

    def purge_plan(
        self,
        *,
        tenant: str = DEFAULT_TENANT,
        owner: str | None = None,
        file: Path | None = None,
        pseudonyms: Pseudonyms | None = None,
    ) -> "PurgePlan":
        """The jobs of a tenant, of one owner of it, or that used a portrait or speech file, which have not been purged;
        deletes nothing.

        ``owner`` may be a keyed hash; ``pseudonyms`` are then the keys of the deployment, by default those of
        LIPSTAGE_HASH_KEY. Jobs of versions before this one have no stored owner: the plan lists them apart. Without
        owner the plan also names what jobs that have expired cached, and uploads of no job: those of the file, or all.
        Raises InvalidRequest, StoreUnreachable,
        BrokerUnreachable, PurgeIncomplete when a bucket can't be listed.
        """
        from shared.client import purge_plan
        from shared.client.media_search import InputFile

        is_owner = None
        if owner is not None and is_pseudonym(owner):
            if pseudonyms is None and not os.environ.get(VARIABLE):
                raise InvalidRequest(
                    f"{VARIABLE} is not set: no owner can be found by a hash", "name the owner instead"
                )
            known = pseudonyms or of_environment()
            is_owner = lambda name: bool(name) and owner in known.candidates(name)  # noqa: E731 - of this call alone
        elif owner is not None and re.fullmatch(OWNER, owner) is None:
            raise InvalidRequest(f"{owner!r} is not an owner", "an owner has 1 to 128 of A-Z, a-z, 0-9 and @._+-")
        wanted = InputFile.of(file) if file is not None else None
        return purge_plan.plan(self.connection, checked_tenant(tenant), owner, is_owner=is_owner, file=wanted)

    def purge_plan_of(self, jobs: Iterable[JobKey]) -> "PurgePlan":
        """What purging these jobs would delete, under their own prefixes; deletes nothing. Jobs of which nothing is
        stored are left out. Raises StoreUnreachable, PurgeIncomplete."""
        from shared.client import purge_plan

        return purge_plan.of_jobs(self.connection, jobs)

    def tenants(self) -> list[str]:
        """The tenants that have anything in the artifact bucket or an input bucket. Raises StoreUnreachable,
        PurgeIncomplete."""
        from shared.client import purge_plan

        return purge_plan.tenants(self.connection)

    def purge_rest(self, plan: "PurgePlan") -> "tuple[dict[str, Count], dict[str, Count]]":
        """Delete what a plan names beside its jobs: cached outputs and uploads, used quotas, endpoints of webhooks.
        Returns number and bytes of objects by class: what was deleted, and what is kept. Purge the jobs first. Raises
        StoreUnreachable, PurgeIncomplete.
        """
        from shared.client import purge

        return purge.purge_rest(self.connection, plan.tenant, plan.cached, plan.uploads, quotas=plan.quotas,
                                webhooks=plan.webhooks)  # fmt: skip

    def erasures(self, tenant: str | None = None) -> "Iterator[ErasureRecord]":
        """The records of erasures, of every tenant or of one. Raises StoreUnreachable, PurgeIncomplete."""
        from shared.client import erasure_records

        return erasure_records.read(self.connection, None if tenant is None else checked_tenant(tenant))

    def purge_jobs(self, jobs: Iterable[JobKey], *, force: bool = False) -> Iterator[PurgeResult]:
        """Purge one job after the other; yields the result of each, errors too.

        ``force`` also purges jobs that have not ended: they are cancelled. Raises Unreachable.
        """
        from shared.client import purge, purged_dead_letters, records_kept

        wanted = list(jobs)
        dead_letters = purged_dead_letters.find(self.connection, wanted)
        days = records_kept.days(self.connection, [job.tenant for job in wanted])
        for job in wanted:
            try:
                purged = purge.purge(self.connection, job, force=force, dead_letters=dead_letters, days=days)
                yield PurgeResult(job, purged)
            except Unreachable:
                raise
            except ClientError as e:
                yield PurgeResult(job, error=e)
