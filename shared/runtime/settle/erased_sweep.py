"""Deletes what an attempt has stored after its job was erased.

No attempt can be stopped at the very moment: it may be between its last check and its next write, or frozen, or cut off
from the broker. Erasing a job leaves an entry in an index; each pass of the janitor deletes again what lies under the
names of these jobs, until no attempt of them can run any more.
"""

import time
from datetime import UTC, datetime
from threading import Event

import structlog
from pydantic import ValidationError

from shared.messages.task import StageOutput
from shared.storage import cache_index, erased_jobs, keys, markers
from shared.storage.cache_index import CachedBy
from shared.storage.erased_jobs import LONGEST_ATTEMPT_S, ErasedJob
from shared.storage.errors import ArtifactAltered, ArtifactRefused, InputForbidden, OutputRefused
from shared.storage.protocols import Storage

log = structlog.get_logger()


def sweep(store: Storage, stop: Event, longest_attempt_s: float = LONGEST_ATTEMPT_S) -> int:
    """Make one pass; returns the number of objects. Raises StoreUnavailable, with part of the work done."""
    count, over = 0, datetime.fromtimestamp(time.time() - longest_attempt_s, UTC)
    for job in erased_jobs.entries(store.artifacts):
        if stop.is_set():
            break
        try:
            swept = _sweep(store, job, over=job.noted < over)
            if job.noted < over:
                store.artifacts.erase(job.key, wanted=job.key.__eq__)
        except (ArtifactRefused, ValueError):  # The object store denies one job's prefix, or the key is no entry.
            continue
        if swept:
            log.info("erased_job_swept", job=job.job, tenant=job.tenant, objects=swept)
        count += swept
    if store.artifacts.unchecked:
        log.warning("old_versions_not_checked", buckets=sorted(store.artifacts.unchecked))
    return count


def _sweep(store: Storage, job: ErasedJob, *, over: bool) -> int:
    """``over``: no attempt can run any more, and nothing is needed for another pass."""
    tenant, name, artifacts = job.tenant, job.job, store.artifacts
    if not _is_purged(store, job):  # The purge was interrupted: the job's dead letters can still be replayed.
        return 0
    documents = {keys.request(tenant, name), keys.end(tenant, name)}
    erased = len(artifacts.erase(keys.job_prefix(tenant, name), wanted=lambda key: key not in documents).objects)
    erased += len(artifacts.erase(keys.frames_prefix(tenant, name)).objects)
    for cached in cache_index.of_job(artifacts, tenant, name):
        erased += _sweep_cached(store, cached, over=over)
    if (output := erased_jobs.output_of(store.documents, job)) is not None:
        try:
            folder = keys.output_folder(tenant, output.prefix, name)
            erased += len(artifacts.erase(folder, bucket=output.bucket).objects)
        except (OutputRefused, InputForbidden):
            log.info("output_of_erased_job_not_swept", job=name, tenant=tenant)
    return erased


def _is_purged(store: Storage, job: ErasedJob) -> bool:
    try:
        record = markers.read_request(store.documents, job.tenant, job.job)
    except ArtifactAltered:
        return False
    return record is not None and record.purged_ms is not None


def _sweep_cached(store: Storage, cached: CachedBy, *, over: bool) -> int:
    """Delete an attempt's own artifacts: other jobs may have made the same output again, and use theirs."""
    entry = keys.cache_entry(cached.tenant, cached.stage, cached.digest)
    try:
        output = StageOutput.model_validate(store.documents.get(entry))
        if output.attempt == cached.attempt:
            store.artifacts.erase(entry, wanted=entry.__eq__)
    except (ValidationError, ArtifactAltered):  # There is none, or nobody can use it.
        pass
    prefix = keys.cache_prefix(cached.tenant, cached.stage, cached.digest, cached.attempt)
    count = len(store.artifacts.erase(prefix).objects)
    if over:  # Before, the attempt may still be uploading, and the next pass must find it.
        store.artifacts.erase(cached.key, wanted=cached.key.__eq__)
    return count
