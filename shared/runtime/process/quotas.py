"""Holds tenants to their quotas: at the front before any work, and after each stage that finds out what a job costs.

The front admits a job into those in flight of its tenant. The audio stage knows the seconds of speech once it has
decoded them, and the face stage the pixels of the video: both are charged before the task goes on, so that a job over
a quota costs no render. `shared.storage.usage` holds what is used.
"""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock

import structlog

from shared.messages.codes import Code, Rejected
from shared.messages.engines import FPS
from shared.messages.metadata import AudioMetadata, FaceMetadata
from shared.messages.quotas import HOURLY, JOBS, PIXELS, SPEECH, Quota, TenantQuotas
from shared.messages.task import RenderTask
from shared.runtime.process.quota_file import QuotaFile
from shared.runtime.retry_policy import best_effort
from shared.storage import markers, usage
from shared.storage.errors import ArtifactAltered
from shared.storage.protocols import Documents
from shared.telemetry import metrics

log = structlog.get_logger()

LONGEST_JOB_MS = 8 * 24 * 3600 * 1000
"""A job in flight for longer is forgotten: its records are gone, and it never ends."""
RECOUNT_S = 30.0
"""How often the jobs in flight of a tenant at its limit are compared with the ends in the object store, seconds."""
RECOUNTED_JOBS = 200
"""How many of them, the oldest first: one request to the object store each."""
WAIT_FOR_PLACE_S = 60
"""When to come back over ``jobs_in_flight``: nobody knows when a job ends."""
_UNITS: dict[Quota, str] = {
    JOBS: "jobs in flight",
    SPEECH: "seconds of speech this hour",
    PIXELS: "pixels of video this hour (frames x width x height)",
}


class QuotaGuard:
    """The quotas of one stage. Thread-safe; shared by its slots.

    Every method but the constructor raises StoreUnavailable and ArtifactRefused, and nothing for a tenant without
    quotas, for which nothing is read or stored.
    """

    def __init__(self, stage: str, file: QuotaFile, documents: Documents, now_ms: Callable[[], int | None]) -> None:
        """``now_ms`` returns the broker's time, milliseconds since the epoch; None while it is not known."""
        self._stage = stage
        self._file = file
        self._documents = documents
        self._clock = now_ms
        self._recounted: dict[str, float] = {}
        self._lock = Lock()

    def admit(self, tenant: str, job: str, replays: int = 0, *, again: bool = False) -> None:
        """Give the job a place among those in flight of its tenant; one that has a place keeps it.

        ``replays``: the number of the replay. ``again``: the record repeats one of a job that was admitted, as a retry
        does; what is left of the hour is then not asked. Raises Rejected (QUOTA_EXCEEDED) when there is no place, or
        nothing is left of an hour's quota.
        """
        quotas = self._file.quotas.of(tenant)
        now_ms = self._now_ms()
        if self._is_continued(quotas, tenant, job, replays):
            if quotas.jobs_in_flight is not None:
                usage.admit(self._documents, tenant, job, math.inf, now_ms)
            return
        if not again and any(quotas.limit(quota) is not None for quota in HOURLY):
            used = usage.hour_usage(self._documents, tenant, usage.hour_of(now_ms))
            for quota in HOURLY:
                limit, amounts = quotas.limit(quota), used.of(quota)
                if limit is not None and amounts.total >= limit and not amounts.has(job):
                    raise self._exceeded(tenant, quota, limit, amounts.total, None, now_ms)
        limit = quotas.jobs_in_flight
        if limit is None:
            return
        jobs = usage.admit(self._documents, tenant, job, limit, now_ms)
        if not jobs.has(job) and self._may_recount(tenant) and self._forget_ended(tenant, jobs, now_ms):
            jobs = usage.admit(self._documents, tenant, job, limit, now_ms)
        if not jobs.has(job):
            raise self._exceeded(tenant, JOBS, limit, len(jobs.jobs), None, now_ms)

    def charge(self, task: RenderTask, replays: int = 0) -> None:
        """Charge what this stage has found out about the job: ``task`` holds its output. A job is charged once an hour.
        ``replays``: the number of the replay.

        Raises Rejected (QUOTA_EXCEEDED), UnreadableMetadata.
        """
        quota, tenant = {"audio": SPEECH, "face": PIXELS}.get(self._stage), task.request.tenant
        quotas = self._file.quotas.of(tenant)
        limit = quotas.limit(quota) if quota is not None else None
        if quota is None or limit is None:
            return
        if self._is_continued(quotas, tenant, task.job_id, replays):
            limit = math.inf
        amount, now_ms = _amount(quota, task), self._now_ms()
        amounts = usage.charge(self._documents, tenant, usage.hour_of(now_ms), task.job_id, quota, amount, limit)
        if not amounts.has(task.job_id):
            raise self._exceeded(tenant, quota, limit, amounts.total, amount, now_ms)

    def release(self, tenant: str, job: str) -> None:
        """The job has ended: free its place. Best effort; `admit` finds out about jobs that kept theirs."""
        if self._file.quotas.of(tenant).jobs_in_flight is not None:
            with best_effort():
                usage.release(self._documents, tenant, job)

    def _is_continued(self, quotas: TenantQuotas, tenant: str, job: str, replays: int) -> bool:
        """Whether a replay continues the job: it was within the quotas once, and a rejection would end it for good. By
        the job's document: the header of a request is its sender's."""
        if not replays or all(quotas.limit(quota) is None for quota in (JOBS, *HOURLY)):
            return False
        try:
            return markers.is_continued(self._documents, tenant, job)
        except ArtifactAltered:
            return False

    def _now_ms(self) -> int:
        now_ms = self._clock()
        return time.time_ns() // 1_000_000 if now_ms is None else now_ms

    def _may_recount(self, tenant: str) -> bool:
        with self._lock:
            now = time.monotonic()
            self._recounted = {name: at for name, at in self._recounted.items() if now - at < RECOUNT_S}
            return self._recounted.setdefault(tenant, now) == now

    def _forget_ended(self, tenant: str, jobs: usage.JobsInFlight, now_ms: int) -> bool:
        """Free the places of jobs that have ended, as after a service was killed, or a client ended the job; whether
        there were any."""
        oldest_ms = now_ms - LONGEST_JOB_MS
        ended = [
            job for job, since_ms in jobs.jobs[:RECOUNTED_JOBS] if since_ms < oldest_ms or self._has_ended(tenant, job)
        ]
        if ended:
            log.info("quota_places_freed", tenant=tenant, jobs=len(ended))
            usage.release(self._documents, tenant, *ended)
        return bool(ended)

    def _has_ended(self, tenant: str, job: str) -> bool:
        try:
            return markers.read_end(self._documents, tenant, job) is not None
        except ArtifactAltered:
            return False

    def _exceeded(
        self, tenant: str, quota: Quota, limit: float, used: float, amount: float | None, now_ms: int
    ) -> Rejected:
        """The rejection. ``amount``: what the job needs, where it is known; one that needs more than the whole quota
        is told no time to come back."""
        metrics.QUOTA_EXCEEDED.labels(self._stage, quota).inc()
        need = "" if amount is None else f", and this job needs {amount:g}"
        message = f"The tenant {tenant} has used {used:g} of {limit:g} {_UNITS[quota]}{need}."
        retry_at_ms: int | None = now_ms + WAIT_FOR_PLACE_S * 1000 if quota == JOBS else usage.hour_ends_ms(now_ms)
        if limit <= 0 or (amount is not None and amount > limit):
            retry_at_ms, advice = None, "It never fits this quota."
        elif quota == JOBS:
            advice = "Send the request again, with another job id, when one of them has ended."
        else:
            advice = f"Send the request again, with another job id, from {_utc(retry_at_ms)} on."
        return Rejected(
            Code.QUOTA_EXCEEDED,
            f"{message} {advice}",
            field="tenant",
            allowed=f"{quota}: at most {limit:g}",
            retry_at_ms=retry_at_ms,
        )


def _utc(time_ms: int | None) -> str:
    return datetime.fromtimestamp((time_ms or 0) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _amount(quota: Quota, task: RenderTask) -> float:
    """What a job costs, in the quota's unit: seconds, or frames x width x height."""
    duration_s = task.metadata("audio", AudioMetadata).duration_s
    if quota == SPEECH:
        return duration_s
    face = task.metadata("face", FaceMetadata)
    return round(duration_s * FPS) * face.width * face.height
