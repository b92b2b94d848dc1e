"""What tenants have used of their quotas: small documents, changed by compare-and-swap.

One document holds the jobs in flight of a tenant, one for each hour its seconds of speech and its pixels. Every replica
of a stage reads and changes the same documents, so a limit holds for all of them together, and across restarts. Each
amount is entered under its job: a job that is delivered again is counted once.
"""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TypeVar

import structlog
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from shared.storage import keys
from shared.storage.errors import ArtifactAltered, StoreUnavailable
from shared.storage.protocols import Documents

log = structlog.get_logger()

SWAPS = 50
"""Attempts at a change that other writers preceded. Each writer that is refused has seen another one succeed."""
SWAP_WAIT_S = 0.05
"""Longest wait between two of them, seconds."""
REMEMBERED_JOBS = 1000
"""Jobs whose amounts are kept one by one, at least; of older ones only the sum is kept."""
_DIGEST = 16

T = TypeVar("T", bound=BaseModel)


class JobsInFlight(BaseModel):
    """Jobs of a tenant by id, with the time of their admission, milliseconds since the epoch; the oldest first."""

    model_config = ConfigDict(frozen=True)

    jobs: tuple[tuple[str, int], ...] = ()

    def has(self, job: str) -> bool:
        """Whether the job is one of them."""
        return any(name == job for name, _ in self.jobs)

    def with_job(self, job: str, now_ms: int) -> "JobsInFlight":
        """The same jobs and this one."""
        return self if self.has(job) else JobsInFlight(jobs=(*self.jobs, (job, now_ms)))

    def without(self, *jobs: str) -> "JobsInFlight":
        """The same jobs without these."""
        return JobsInFlight(jobs=tuple(one for one in self.jobs if one[0] not in jobs))


class Amounts(BaseModel):
    """What jobs have used, by quota: ``speech_s_per_hour`` in seconds, ``pixels_per_hour`` in pixels."""

    model_config = ConfigDict(frozen=True)

    older: float = 0.0
    """The sum of the jobs that are not remembered one by one."""
    jobs: tuple[tuple[str, float], ...] = ()
    """Digest of the job id, amount; the oldest first."""

    @property
    def total(self) -> float:
        """The sum of all jobs."""
        return self.older + sum(amount for _, amount in self.jobs)

    def has(self, job: str) -> bool:
        """Whether the amount of the job is counted."""
        digest = _digest(job)
        return any(name == digest for name, _ in self.jobs)

    def with_amount(self, job: str, amount: float) -> "Amounts":
        """The same amounts and that of this job; once the list is twice as long as needed its older half is summed."""
        jobs = (*self.jobs, (_digest(job), amount))
        if len(jobs) < 2 * REMEMBERED_JOBS:
            return Amounts(older=self.older, jobs=jobs)
        old, new = jobs[:-REMEMBERED_JOBS], jobs[-REMEMBERED_JOBS:]
        return Amounts(older=self.older + sum(amount for _, amount in old), jobs=new)


class HourUsage(BaseModel):
    """What a tenant has used within one hour, by quota."""

    model_config = ConfigDict(frozen=True)

    amounts: dict[str, Amounts] = Field(default_factory=dict)

    def of(self, quota: str) -> Amounts:
        """The amounts of one quota."""
        return self.amounts.get(quota, Amounts())


def hour_of(now_ms: int) -> str:
    """The hour of UTC at ``now_ms`` (milliseconds since the epoch), as ``2026-11-30T05``."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%dT%H")


def hour_ends_ms(now_ms: int) -> int:
    """When the hour of ``now_ms`` ends, milliseconds since the epoch."""
    start = datetime.fromtimestamp(now_ms / 1000, UTC).replace(minute=0, second=0, microsecond=0)
    return round((start + timedelta(hours=1)).timestamp() * 1000)


def jobs_in_flight(documents: Documents, tenant: str) -> JobsInFlight:
    """The jobs in flight of a tenant. Raises StoreUnavailable, ArtifactRefused, as the functions below do."""
    return _read(documents, keys.jobs_in_flight(tenant), JobsInFlight)


def admit(documents: Documents, tenant: str, job: str, limit: float, now_ms: int) -> JobsInFlight:
    """Add the job to those in flight unless there are ``limit`` of them; the caller finds it in the result, or not."""

    def change(stored: JobsInFlight) -> JobsInFlight:
        return stored.with_job(job, now_ms) if len(stored.jobs) < limit else stored

    return _swap(documents, keys.jobs_in_flight(tenant), JobsInFlight, change)


def release(documents: Documents, tenant: str, *jobs: str) -> JobsInFlight:
    """Remove jobs from those in flight; returns the others."""
    return _swap(documents, keys.jobs_in_flight(tenant), JobsInFlight, lambda stored: stored.without(*jobs))


def hour_usage(documents: Documents, tenant: str, hour: str) -> HourUsage:
    """What a tenant has used within an hour."""
    return _read(documents, keys.hour_usage(tenant, hour), HourUsage)


def charge(documents: Documents, tenant: str, hour: str, job: str, quota: str, amount: float, limit: float) -> Amounts:
    """Add the amount of a job unless the sum would exceed ``limit``; the caller finds the job in the result, or not."""

    def change(stored: HourUsage) -> HourUsage:
        amounts = stored.of(quota)
        if amounts.has(job) or amounts.total + amount > limit:
            return stored
        return HourUsage(amounts={**stored.amounts, quota: amounts.with_amount(job, amount)})

    return _swap(documents, keys.hour_usage(tenant, hour), HourUsage, change).of(quota)


def _digest(job: str) -> str:
    """A short name of a job: its id may have 64 characters, and the list has up to 2000 jobs for each quota."""
    return sha256(job.encode()).hexdigest()[:_DIGEST]


def _read(documents: Documents, key: str, model: type[T]) -> T:
    """The document as it is stored; an empty one where there is none, and in place of one that can't be read."""
    try:
        value = documents.get(key)
        return model() if value is None else _parsed(key, value, model)
    except ArtifactAltered as e:
        log.error("quota_usage_unreadable", error=str(e))
        return model()


def _swap(documents: Documents, key: str, model: type[T], change: Callable[[T], T]) -> T:
    """Change a document: read, compute, write if nobody has written since. Returns the document as it is stored.

    One that can't be read is begun anew: a damaged document must stop no tenant.
    """
    for _ in range(SWAPS):
        value = _repaired(documents, key, model)
        stored = model() if value is None else _parsed(key, value, model)
        changed = change(stored)
        if changed == stored:
            return stored
        new = changed.model_dump(mode="json")
        if documents.put_once(key, new) if value is None else documents.replace(key, value, new):
            return changed
        time.sleep(random.uniform(0, SWAP_WAIT_S))
    raise StoreUnavailable(f"{key} was changed by others each time it was to be changed")


def _repaired(documents: Documents, key: str, model: type[T]) -> JsonValue | None:
    """The value of the document; an empty one in place of one that can't be read."""
    try:
        value = documents.get(key)
        if value is not None:
            _parsed(key, value, model)
    except ArtifactAltered as e:
        log.error("quota_usage_unreadable", error=str(e))
        value = model().model_dump(mode="json")
        documents.put(key, value)
    return value


def _parsed(key: str, value: JsonValue, model: type[T]) -> T:
    try:
        return model.model_validate(value)
    except ValidationError as e:
        raise ArtifactAltered(f"{key} does not have the form of this document") from e
