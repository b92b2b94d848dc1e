"""Which jobs a purge of an owner or of a tenant concerns, from the object store and from ``render.requests``."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from shared.client import history, request_log
from shared.client.connection import Connection
from shared.client.errors import JobDocumentUnreadable, PurgeIncomplete, StoreUnreachable
from shared.client.job_key import JobKey
from shared.client.purged_objects import DOCUMENTS, Count
from shared.storage import keys
from shared.storage.errors import StorageError, StoreUnavailable
from shared.storage.markers import RequestRecord

READERS = 16


@dataclass(slots=True)
class PurgePlan:
    """The jobs of a tenant, or of one owner of it, that have not been purged."""

    tenant: str
    owner: str | None = None
    jobs: list[JobKey] = field(default_factory=list)
    objects: Count = field(default_factory=Count)
    """What lies under the jobs' prefixes; inputs and cached outputs are not counted."""
    not_ended: int = 0
    unknown_owner: list[JobKey] = field(default_factory=list)
    """Jobs of an earlier version, which stored no owner, and jobs whose request can't be read: whose they are is not
    known. Only with ``owner``."""
    requests_read: bool = True
    """False: this client may not read ``render.requests``, or older requests were not read: jobs that no service has
    taken may be missing."""


def plan(connection: Connection, tenant: str, owner: str | None = None) -> PurgePlan:
    """Find the jobs. Raises StoreUnreachable, BrokerUnreachable, PurgeIncomplete when the bucket can't be listed."""
    planned = PurgePlan(tenant, owner)
    stored = _stored(connection, tenant)
    with ThreadPoolExecutor(READERS) as pool:
        records = list(pool.map(lambda job: _request(connection, job), stored))
    for job, record in zip(stored, records, strict=True):
        count, has_ended = stored[job]
        if record is not None and record.purged_ms is not None and count.objects <= DOCUMENTS:
            continue
        if owner is not None and (record is None or record.owner is None):
            if record is None or record.purged_ms is None:
                planned.unknown_owner.append(job)
            continue
        if owner is not None and record is not None and record.owner != owner:
            continue
        planned.jobs.append(job)
        planned.objects.objects += count.objects
        planned.objects.bytes += count.bytes
        planned.not_ended += not has_ended
    sent, cut = request_log.of_tenant(connection, tenant)
    planned.requests_read = not cut
    known = set(stored)
    queued = {one.key for one in sent if one.key not in known and owner in (None, one.record.owner)}
    planned.jobs += sorted(queued)
    planned.not_ended += len(queued)
    return planned


def _stored(connection: Connection, tenant: str) -> dict[JobKey, tuple[Count, bool]]:
    """The tenant's jobs in the artifact bucket: their objects, and whether a terminal event is there."""
    found: dict[JobKey, tuple[Count, bool]] = {}
    for job_id, name, size in _listed(connection, tenant):
        job = JobKey(tenant, job_id)
        count, has_ended = found.get(job, (Count(), False))
        count.add(size)
        found[job] = (count, has_ended or name == "end.json")
    return found


def _listed(connection: Connection, tenant: str) -> Iterator[tuple[str, str, int]]:
    """Job id, path below the job's prefix, and size of every object of the tenant's jobs."""
    prefix = keys.tenant_prefix(tenant)
    try:
        for entry in connection.artifacts.list_prefix(prefix):
            job_id, slash, name = entry.key.removeprefix(prefix).partition("/")
            if slash:
                yield job_id, name, entry.size
    except StoreUnavailable as e:
        raise StoreUnreachable(str(e)) from None
    except StorageError as e:
        raise PurgeIncomplete(f"the objects of the tenant {tenant} can't be listed: {e}") from None


def _request(connection: Connection, job: JobKey) -> RequestRecord | None:
    try:
        return history.stored_request(connection, job)
    except JobDocumentUnreadable:
        return None
