"""Delete everything that was kept of a job: its artifacts, documents and the inputs this command line uploaded."""

from dataclasses import dataclass

from botocore.exceptions import ClientError

from shared.cli import history
from shared.cli.connection import Connection
from shared.cli.errors import CliError, Unreachable
from shared.cli.events import Job
from shared.cli.submit import UPLOADED_BY
from shared.messages.refs import InputRef
from shared.storage import keys
from shared.storage.errors import ArtifactRefused, StoreUnavailable, is_missing, store_errors


@dataclass(frozen=True, slots=True)
class Purged:
    """How many objects were deleted."""

    artifacts: int
    inputs: int


def purge(connection: Connection, job_id: str, tenant: str, force: bool = False) -> Purged:
    """Delete the job's objects; safe to repeat.

    Videos in an output bucket of the user's own stay, and so do inputs that somebody else put there: other jobs may
    use them. Products shared through the cache stay until they expire. Raises Unreachable, CliError
    for a bad name or, unless ``force``, a job under way.
    """
    try:
        prefix = keys.job_prefix(tenant, job_id)
    except ValueError as e:
        raise CliError(str(e)) from None
    record = history.stored_request(connection, Job(tenant, job_id))
    if record is not None and not force and history.stored_end(connection, Job(tenant, job_id)) is None:
        raise CliError(
            f"job {job_id} has not ended; what it works on can't be deleted now",
            f"cancel it first with `lipstage cancel {Job(tenant, job_id).arguments}`, or use --force",
        )
    try:
        inputs = 0
        if record is not None:
            inputs = sum(_delete_input(connection, ref, tenant) for ref in record.inputs)
        connection.artifacts.delete_prefix(keys.frames_prefix(tenant, job_id))
        # Last, because the request's document is what names the inputs: a purge that was cut off can be repeated.
        return Purged(connection.artifacts.delete_prefix(prefix), inputs)
    except StoreUnavailable as e:
        raise Unreachable(str(e)) from None
    except ArtifactRefused as e:
        raise CliError(f"not all of job {job_id} could be deleted: {e}") from None


def _delete_input(connection: Connection, ref: InputRef, tenant: str) -> bool:
    bucket = connection.storage_settings.input_buckets.get(ref.bucket)
    if bucket is None or not ref.key.startswith(f"{tenant}/"):
        return False
    with store_errors("deleting an input"):
        try:
            found = connection.s3.head_object(Bucket=bucket, Key=ref.key)["Metadata"]
        except ClientError as e:
            if is_missing(e):
                return False
            raise
        if not UPLOADED_BY.items() <= found.items():
            return False
        connection.s3.delete_object(Bucket=bucket, Key=ref.key)
    return True
