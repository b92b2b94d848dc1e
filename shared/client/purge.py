"""Deletes everything that is kept of a job: its artifacts, its documents, and the inputs that a client uploaded."""

from dataclasses import dataclass

from botocore.exceptions import ClientError

from shared.client import history
from shared.client.connection import Connection
from shared.client.errors import JobNotFinished, PurgeIncomplete, StoreUnreachable
from shared.client.job_key import JobKey
from shared.client.submission import UPLOADED_BY
from shared.messages.refs import InputRef
from shared.storage import keys
from shared.storage.errors import ArtifactRefused, StoreUnavailable, is_missing, store_errors


@dataclass(frozen=True, slots=True)
class Purged:
    """How many objects were deleted."""

    artifacts: int
    inputs: int


def purge(connection: Connection, job: JobKey, *, force: bool = False) -> Purged:
    """Delete the job's objects; safe to repeat.

    Kept are videos in an output bucket, inputs that nobody uploaded with this library (other jobs may use them), and
    cached outputs, which expire by themselves. ``force`` also purges a job that has not ended. Raises JobNotFinished,
    PurgeIncomplete, StoreUnreachable, JobDocumentUnreadable.
    """
    record = history.stored_request(connection, job)
    if record is not None and not force and history.terminal_event(connection, job) is None:
        raise JobNotFinished(f"job {job.job_id} has not ended; services may still need its objects")
    try:
        inputs = 0
        if record is not None:
            inputs = sum(_delete_input(connection, ref, job.tenant) for ref in record.inputs)
        connection.artifacts.delete_prefix(keys.frames_prefix(job.tenant, job.job_id))
        # Last: the request's document names the inputs, so a purge that was interrupted can be repeated.
        return Purged(connection.artifacts.delete_prefix(keys.job_prefix(job.tenant, job.job_id)), inputs)
    except StoreUnavailable as e:
        raise StoreUnreachable(str(e)) from None
    except ArtifactRefused as e:
        raise PurgeIncomplete(f"not every object of job {job.job_id} could be deleted: {e}") from None


def _delete_input(connection: Connection, ref: InputRef, tenant: str) -> bool:
    bucket = connection.storage_settings.input_buckets.get(ref.bucket)
    if bucket is None or not ref.key.startswith(f"{tenant}/"):
        return False
    with store_errors("deleting an input"):
        try:
            metadata = connection.s3.head_object(Bucket=bucket, Key=ref.key)["Metadata"]
        except ClientError as e:
            if is_missing(e):
                return False
            raise
        if not UPLOADED_BY.items() <= metadata.items():
            return False
        connection.s3.delete_object(Bucket=bucket, Key=ref.key)
    return True
