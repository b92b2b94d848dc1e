"""What helps when jobs of a batch were refused because their ids are in use."""

from contextlib import suppress

from shared.client import Client, ClientError, JobSpec, request_log
from shared.client.job_key import JobKey
from shared.client.manifest_specs import job_id_of
from shared.messages.request import Batch


def hint(client: Client, refused: JobSpec) -> str:
    """What the user can do, from one of the refused jobs: the others have most likely the same reason."""
    batch = Batch.model_validate(refused.fields["batch"])
    if refused.job_id == job_id_of(refused.key.tenant, batch.id, batch.index):
        return "for other files, parameters or rows, choose another --batch-id"
    known, first = _first_batch(client, refused.key)
    if not known or first == batch:
        return "for other files or parameters, change the job_ids"
    if first is None:
        return f"job {refused.job_id} was submitted outside a batch: change the job_ids"
    if first.id != batch.id:
        return (
            f"job {refused.job_id} belongs to the batch {first.id}: repeat with --batch-id {first.id}, or change the"
            " job_ids"
        )
    return (
        f"job {refused.job_id} was row {first.index + 1} of {first.total} of this batch: for other rows, change the"
        " job_ids"
    )


def _first_batch(client: Client, job: JobKey) -> tuple[bool, Batch | None]:
    """Whether the first request for the job was found, and its place in a batch."""
    with suppress(ClientError):
        terminal = client.terminal_event(job)
        if terminal is not None:
            return True, terminal.batch
        sent = request_log.find(client.connection, job)
        if sent is not None:
            return True, sent.batch
    return False, None
