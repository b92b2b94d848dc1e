"""Cancels and purges the jobs of a batch, one after the other."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from shared.client import purged_dead_letters, records_kept
from shared.client.batches import BatchState
from shared.client.cancellation import end_as_cancelled, raise_if_end_is_stored, send_command
from shared.client.connection import Connection
from shared.client.errors import ClientError, JobConflict, JobEnded, JobNotFinished, Unreachable
from shared.client.job_key import JobKey
from shared.client.job_state import REFUSED, JobState
from shared.client.purge import Purged, purge


@dataclass(frozen=True, slots=True)
class PurgedJob:
    """The result of purging one job of a batch."""

    job: JobState
    purged: Purged | None = None
    """What was deleted; None when the job was not purged."""
    error: ClientError | None = None
    """Why it was not: JobConflict when another request has the job id, JobPurged, JobNotFinished, ..."""


def cancel_batch(connection: Connection, state: BatchState) -> list[JobKey]:
    """Cancel each job that has not ended; returns these jobs.

    The job of a row that was refused belongs to another request: it is left alone, and ``state`` shows the row as
    refused. Raises BrokerUnreachable, RecordRefused, StoreUnreachable, JobDocumentUnreadable.
    """
    sent = []
    for key, job in state.jobs.items():
        if job.has_ended:
            continue
        try:
            state.requests_of(key).check(raise_if_end_is_stored(connection, key))
        except JobEnded:
            continue
        except JobConflict:
            job.status = REFUSED
            continue
        send_command(connection, key)
        requests = state.requests_of(key).sent
        with suppress(JobEnded):  # It ended meanwhile; the command has no effect.
            end_as_cancelled(connection, job, requests[0].record if requests else None)
            sent.append(key)
    return sent


def purge_batch(connection: Connection, state: BatchState, *, force: bool = False) -> Iterator[PurgedJob]:
    """Purge each job of the batch, in the order of the manifest; yields every result, errors of single jobs too.

    Jobs that have not ended are left alone without ``force``, and so are jobs of other requests under the id of a
    refused row. Raises Unreachable.
    """
    dead_letters = purged_dead_letters.find(connection, state.jobs)
    days = records_kept.days(connection, [state.tenant])
    for job in state.ordered():
        key = JobKey(job.tenant, job.job_id)
        try:
            if not (job.has_ended or force or state.cut):
                raise JobNotFinished(f"job {job.job_id} has not ended; services may still need its objects")
            row = state.requests_of(key)
            result = purge(connection, key, force=force, row=row, dead_letters=dead_letters, days=days)
        except Unreachable:
            raise
        except ClientError as e:
            yield PurgedJob(job, error=e)
        else:
            yield PurgedJob(job, result)
