"""Which jobs a purge of an owner, of a tenant or of an input file concerns, from the object store and from
``render.requests``."""

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from shared.client import history, request_log
from shared.client.connection import Connection
from shared.client.errors import JobDocumentUnreadable, PurgeIncomplete, StoreUnreachable
from shared.client.job_key import JobKey
from shared.client.media_search import InputFile, MediaSearch, Upload, uploads_of
from shared.client.purged_objects import DOCUMENTS, Count
from shared.messages.names import NAME
from shared.storage import cache_index, erased_jobs, keys
from shared.storage.cache_index import CachedBy
from shared.storage.errors import StorageError, StoreUnavailable, store_errors
from shared.storage.markers import RequestRecord

READERS = 16


@dataclass(slots=True)
class PurgePlan:
    """The jobs of a tenant, of one owner of it, or of one input file, that have not been purged."""

    tenant: str
    owner: str | None = None
    jobs: list[JobKey] = field(default_factory=list)
    objects: Count = field(default_factory=Count)
    """What lies under the jobs' prefixes; inputs and cached outputs are not counted."""
    not_ended: int = 0
    unknown_owner: list[JobKey] = field(default_factory=list)
    """Jobs of an earlier version, which stored no owner, and jobs whose request can't be read: whose they are is not
    known. Only with ``owner``."""
    unknown_inputs: list[JobKey] = field(default_factory=list)
    """Jobs whose request names an input without its SHA-256, and the object is gone, or whose request can't be read:
    what they used is not known. Only with a file."""
    cached: list[CachedBy] = field(default_factory=list)
    """What jobs that have expired, or that are not in ``jobs``, have cached: from the file, or at all where the plan is
    of the whole tenant."""
    uploads: list[Upload] = field(default_factory=list)
    """Uploads that belong to none of ``jobs``: of the file, or all where the plan is of the whole tenant."""
    quotas: bool = False
    """Whether it is stored what the tenant has used of its quotas; only where the plan is of the whole tenant."""
    webhooks: bool = False
    """Whether the tenant has endpoints of webhooks; only where the plan is of the whole tenant."""
    requests_read: bool = True
    """False: this client may not read ``render.requests``, or older requests were not read: jobs that no service has
    taken may be missing."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to purge."""
        return not (self.jobs or self.has_rest)

    @property
    def has_rest(self) -> bool:
        """Whether there is something beside the jobs."""
        return bool(self.cached or self.uploads or self.quotas or self.webhooks)


def plan(
    connection: Connection,
    tenant: str,
    owner: str | None = None,
    *,
    is_owner: Callable[[str], bool] | None = None,
    file: InputFile | None = None,
) -> PurgePlan:
    """Find the jobs. ``is_owner``: whether the owner that a request names is the wanted one; by default the same text.

    Raises StoreUnreachable, BrokerUnreachable, PurgeIncomplete when a bucket can't be listed.
    """
    planned = PurgePlan(tenant, owner)
    wanted = is_owner or (lambda name: name == owner)
    search = MediaSearch(connection, tenant, file) if file is not None else None
    with _store_errors():
        stored = _stored(connection, tenant)
        with ThreadPoolExecutor(READERS) as pool:
            records = list(pool.map(lambda job: _request(connection, job), stored))
            of_file = search.jobs(pool) if search is not None else frozenset()
            for job, record in zip(stored, records, strict=True):
                _consider(planned, job, record, stored[job], wanted, search, of_file)
    sent, cut = request_log.of_tenant(connection, tenant)
    planned.requests_read = not cut
    known = set(stored)
    queued = {one.key for one in sent if one.key not in known and _takes(one.record, planned, wanted, search)}
    planned.jobs += sorted(queued)
    planned.not_ended += len(queued)
    with _store_errors():
        if search is not None:
            planned.cached, planned.uploads = search.rest(planned.jobs)
        elif owner is None:
            _add_rest_of_tenant(connection, planned)
    return planned


def of_jobs(connection: Connection, jobs: Iterable[JobKey]) -> PurgePlan:
    """The plan of named jobs. Raises StoreUnreachable, PurgeIncomplete."""
    planned = PurgePlan("")
    with _store_errors():
        for job in jobs:
            entries = list(connection.artifacts.list_prefix(keys.job_prefix(*job)))
            if entries:
                planned.jobs.append(job)
                planned.objects.objects += len(entries)
                planned.objects.bytes += sum(entry.size for entry in entries)
                planned.not_ended += all(entry.key != keys.end(*job) for entry in entries)
    return planned


def tenants(connection: Connection) -> list[str]:
    """The tenants that have jobs, cached outputs, inputs, used quotas or endpoints. Raises StoreUnreachable,
    PurgeIncomplete."""
    found: set[str] = set()
    settings = connection.storage_settings
    folders = [(settings.bucket, prefix) for prefix in keys.OF_TENANTS]
    folders += [(bucket, "") for bucket in dict.fromkeys(settings.input_buckets.values())]
    with _store_errors(), store_errors("listing tenants"):
        for bucket, prefix in folders:
            pages = connection.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
            for page in pages:
                found |= {one["Prefix"].split("/")[-2] for one in page.get("CommonPrefixes", ())}
    return sorted(name for name in found if re.fullmatch(NAME, name))


def _add_rest_of_tenant(connection: Connection, planned: PurgePlan) -> None:
    """Add what the tenant has beside the jobs of the plan. The index goes on to name what a job has cached that was
    erased a short time ago: its attempts may still run."""
    tenant, artifacts = planned.tenant, connection.artifacts
    erased = {JobKey(one.tenant, one.job) for one in erased_jobs.entries(artifacts) if one.tenant == tenant}
    known = frozenset(planned.jobs)
    entries = cache_index.of_tenant(artifacts, tenant)
    planned.cached = [one for one in entries if JobKey(one.tenant, one.job) not in known | erased]
    planned.uploads = [upload for upload, job, *_ in uploads_of(connection, tenant) if job not in known]
    planned.quotas = any(True for _ in artifacts.list_prefix(keys.quotas_prefix(tenant)))
    planned.webhooks = any(True for _ in artifacts.list_prefix(keys.webhooks_prefix(tenant)))


def _consider(
    planned: PurgePlan,
    job: JobKey,
    record: RequestRecord | None,
    found: tuple[Count, bool],
    is_owner: Callable[[str], bool],
    search: MediaSearch | None,
    of_file: frozenset[JobKey],
) -> None:
    """Add a stored job to the plan if it is a wanted one."""
    count, has_ended = found
    if record is not None and record.purged_ms is not None and count.objects <= DOCUMENTS:
        return
    if planned.owner is not None and (record is None or record.owner is None):
        if record is None or record.purged_ms is None:
            planned.unknown_owner.append(job)
        return
    if search is not None and job not in of_file:
        uses = search.uses(record) if record is not None else None
        if uses is None:
            planned.unknown_inputs.append(job)
        if not uses:
            return
    if planned.owner is not None and record is not None and not is_owner(record.owner or ""):
        return
    planned.jobs.append(job)
    planned.objects.objects += count.objects
    planned.objects.bytes += count.bytes
    planned.not_ended += not has_ended


def _takes(
    record: RequestRecord, planned: PurgePlan, is_owner: Callable[[str], bool], search: MediaSearch | None
) -> bool:
    """Whether a request that no service has taken is a wanted one."""
    if planned.owner is not None and not is_owner(record.owner or ""):
        return False
    return search is None or bool(search.uses(record))


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
    for entry in connection.artifacts.list_prefix(prefix):
        job_id, slash, name = entry.key.removeprefix(prefix).partition("/")
        if slash:
            yield job_id, name, entry.size


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except StoreUnavailable as e:
        raise StoreUnreachable(str(e)) from None
    except StorageError as e:
        raise PurgeIncomplete(f"a bucket can't be listed: {e}") from None


def _request(connection: Connection, job: JobKey) -> RequestRecord | None:
    try:
        return history.stored_request(connection, job)
    except JobDocumentUnreadable:
        return None
