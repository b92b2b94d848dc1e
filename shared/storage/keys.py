"""Every object key that lipstage writes; no other code builds one."""

import re

from shared.messages.refs import checked_key
from shared.storage.errors import InputForbidden

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_BODY = re.compile(r"dead-letters/[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}/[0-9]{1,9}/[0-9]{1,19}-[0-9a-f]{16}")
_RESERVED_STAGES = frozenset({"request", "end"})
"""Names of job documents that lie beside the stages' markers."""
FRAMES = "frames/"
"""Prefix of the index of attempts that have frames in the object store."""
DEAD_LETTERS = "dead-letters/"
"""Prefix of the values of dead letters that are too large for the topic."""
QUOTAS = "quotas/"
"""Prefix of what tenants have used of their quotas."""
WEBHOOKS = "webhooks/"
"""Prefix of the endpoints that tenants have registered."""
ERASED = "erased/"
"""Prefix of the index of jobs that were erased a short time ago: an attempt that still runs may write once more."""
ERASURES = "erasures/"
"""Prefix of the records of erasures."""
OF_JOBS = "_jobs"
"""Takes the place of the stage's name in the index of cached outputs by job; no stage's name begins so."""
INDEXED_JOB = "job-"
"""Precedes the job ids in that index: a job may have a stage's name for its id, and the rights of that stage are
patterns with the name between slashes."""
CHECKPOINTS = "checkpoints"
"""Path segment beside the attempts of a stage, whose ids are hexadecimal."""
PREVIEW = "preview"
"""Folder of the segments of a job's preview, beside its finished files."""
PLAYLIST = "index.m3u8"
OF_TENANTS = ("jobs/", "cache/", QUOTAS, WEBHOOKS)
"""Prefixes under which each tenant has a folder."""
PROBED = "_probe"
"""Takes the place of the tenant's name, which never begins with an underscore."""


def _segment(text: str) -> str:
    """A path segment of the permitted characters. Raises ValueError for anything else."""
    if not _SEGMENT.fullmatch(text):
        raise ValueError(f"not usable in an object key: {text!r}")
    return text


def _stage(name: str) -> str:
    if name in _RESERVED_STAGES:
        raise ValueError(f"{name!r} is no valid name of a stage")
    return _segment(name)


def probe(key: str) -> str:
    """The probe object, which belongs to no job, under the first segment of ``key``: a policy may be limited to a
    prefix."""
    return f"{key.partition('/')[0]}/{PROBED}/bucket.json"


def never(key: str) -> str:
    """A key beside the probe object that is never written."""
    return f"{key.partition('/')[0]}/{PROBED}/never.json"


def tenant_prefix(tenant: str) -> str:
    """Prefix of all jobs of a tenant, with a slash at its end."""
    return f"jobs/{_segment(tenant)}/"


def job_prefix(tenant: str, job: str) -> str:
    """Prefix of all that belongs to a job, with a slash at its end."""
    return f"jobs/{_segment(tenant)}/{_segment(job)}/"


def request(tenant: str, job: str) -> str:
    """The document that claims the job id for a request."""
    return f"{job_prefix(tenant, job)}request.json"


def end(tenant: str, job: str) -> str:
    """The job's terminal event."""
    return f"{job_prefix(tenant, job)}end.json"


def marker(tenant: str, job: str, stage: str) -> str:
    """Completion marker of a stage."""
    return f"{job_prefix(tenant, job)}{_stage(stage)}.json"


def attempt_prefix(tenant: str, job: str, stage: str, attempt: str) -> str:
    """Prefix of the artifacts of one attempt, with a slash at its end."""
    return f"{job_prefix(tenant, job)}{_stage(stage)}/{_segment(attempt)}/"


def stage_prefix(tenant: str, job: str, stage: str) -> str:
    """Prefix of the artifacts of all attempts of a stage, with a slash at its end; not of its marker."""
    return f"{job_prefix(tenant, job)}{_stage(stage)}/"


def frames_prefix(tenant: str, job: str) -> str:
    """Prefix of the entries of a job's attempts in the index of frames, with a slash at its end."""
    return f"{FRAMES}{_segment(tenant)}/{_segment(job)}/"


def frames_entry(tenant: str, job: str, stage: str, attempt: str) -> str:
    """An attempt's entry in the index of frames."""
    return f"{frames_prefix(tenant, job)}{_stage(stage)}/{_segment(attempt)}"


def checkpoint_prefix(tenant: str, job: str, stage: str) -> str:
    """Prefix of the checkpoints of a stage, with a slash at its end."""
    return f"{job_prefix(tenant, job)}{_stage(stage)}/{CHECKPOINTS}/"


def checkpoint_record(tenant: str, job: str, stage: str) -> str:
    """The document that names the newest checkpoint."""
    return f"{checkpoint_prefix(tenant, job, stage)}state.json"


def within(prefix: str, name: str) -> str:
    """An artifact under the prefix of an attempt or of a cached output; ``name`` is a file name, as ``image.npy``."""
    return prefix + _segment(name)


def output(tenant: str, prefix: str, job: str, name: str) -> str:
    """A finished file in an output bucket, under the user's prefix. Raises InputForbidden."""
    return checked_for(tenant, f"{prefix.rstrip('/')}/{_segment(job)}/{_segment(name)}")


def output_folder(tenant: str, prefix: str, job: str) -> str:
    """Prefix of all finished files of a job in an output bucket, the preview's too, with a slash at its end. Raises
    InputForbidden."""
    return checked_for(tenant, f"{prefix.rstrip('/')}/{_segment(job)}") + "/"


def preview_prefix(tenant: str, prefix: str, job: str) -> str:
    """Prefix of the preview's segments in an output bucket, with a slash at its end. Raises InputForbidden."""
    return f"{output(tenant, prefix, job, PREVIEW)}/"


def quotas_prefix(tenant: str) -> str:
    """Prefix of what a tenant has used of its quotas, with a slash at its end."""
    return f"{QUOTAS}{_segment(tenant)}/"


def jobs_in_flight(tenant: str) -> str:
    """The document that lists the jobs of a tenant that have not ended."""
    return f"{quotas_prefix(tenant)}jobs.json"


def hour_usage(tenant: str, hour: str) -> str:
    """The document of what a tenant has used within an hour of UTC, as ``2026-11-30T05``."""
    return f"{quotas_prefix(tenant)}{_segment(hour)}.json"


def webhooks_prefix(tenant: str) -> str:
    """Prefix of the endpoints of a tenant, with a slash at its end."""
    return f"{WEBHOOKS}{_segment(tenant)}/"


def webhook_endpoints(tenant: str) -> str:
    """The document that lists the endpoints of a tenant."""
    return f"{webhooks_prefix(tenant)}endpoints.json"


def dead_letter_body(topic: str, partition: int, offset: int, sha256: str) -> str:
    """The value of a record that became a dead letter, by the record's coordinates and the SHA-256 of the value."""
    return f"{DEAD_LETTERS}{_segment(topic)}/{partition}/{offset}-{_segment(sha256)[:16]}"


def is_dead_letter_body(key: str) -> bool:
    """Whether ``dead_letter_body`` makes this key."""
    return _BODY.fullmatch(key) is not None


def cache_entry(tenant: str, stage: str, digest: str) -> str:
    """The entry that names a cached output."""
    return f"{_cached(tenant, stage, digest)}.json"


def cache_prefix(tenant: str, stage: str, digest: str, attempt: str) -> str:
    """Prefix of the artifacts of a cacheable output as one attempt wrote it, with a slash at its end."""
    return f"{_cached(tenant, stage, digest)}/{_segment(attempt)}/"


def cache_folder(tenant: str, stage: str, digest: str) -> str:
    """Prefix of a cached output as every attempt wrote it, with a slash at its end; not of its entry."""
    return f"{_cached(tenant, stage, digest)}/"


def cache_index_of_tenant(tenant: str) -> str:
    """Prefix of the index of a tenant's cached outputs by job, with a slash at its end."""
    return f"cache/{_segment(tenant)}/{OF_JOBS}/"


def cache_index_of_job(tenant: str, job: str) -> str:
    """Prefix of what the index has of one job, with a slash at its end."""
    return f"{cache_index_of_tenant(tenant)}{INDEXED_JOB}{_segment(job)}/"


def cache_index_entry(tenant: str, job: str, stage: str, digest: str, attempt: str) -> str:
    """The document that says whose attempt wrote a cacheable output, and from which inputs."""
    return f"{cache_index_of_job(tenant, job)}{_stage(stage)}/{_segment(digest)}/{_segment(attempt)}"


def erased(tenant: str, job: str) -> str:
    """A job's entry in the index of erased jobs."""
    return f"{ERASED}{_segment(tenant)}/{_segment(job)}"


def erasures_prefix(tenant: str) -> str:
    """Prefix of the records of a tenant's erasures, with a slash at its end."""
    return f"{ERASURES}{_segment(tenant)}/"


def erasure(tenant: str, name: str) -> str:
    """The record of one erasure."""
    return f"{erasures_prefix(tenant)}{_segment(name)}.json"


def cache_entry_of(key: str) -> str | None:
    """The entry of the cached output that the artifact ``key`` belongs to; None for other artifacts."""
    parts = key.split("/")
    return "/".join(parts[:4]) + ".json" if len(parts) == 6 and parts[0] == "cache" else None


def is_cached_of(tenant: str, key: str) -> bool:
    """Whether the artifact ``key`` belongs to a cached output of the tenant."""
    return cache_entry_of(key) is not None and key.startswith(f"cache/{_segment(tenant)}/")


def _cached(tenant: str, stage: str, digest: str) -> str:
    return f"cache/{_segment(tenant)}/{_stage(stage)}/{_segment(digest)}"


def checked_for(tenant: str, key: str) -> str:
    """A key that a user chose; it must lie under the tenant's prefix. Raises InputForbidden."""
    try:
        checked_key(key)
    except ValueError as error:
        raise InputForbidden(str(error)) from error
    if not key.startswith(f"{_segment(tenant)}/"):
        raise InputForbidden(f"the key must begin with {tenant}/")
    return key
