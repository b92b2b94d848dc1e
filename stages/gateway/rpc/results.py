"""Results of a render, read part by part: a slow caller holds neither a thread nor a connection of the object store."""

from typing import Literal

from botocore.exceptions import ClientError as AnswerError

from shared.client import ArtifactUnavailable, Client, JobKey, JobNotFinished, StoreUnreachable, history
from shared.messages.codes import Code
from shared.messages.events import Done
from shared.messages.refs import ArtifactRef
from shared.storage.errors import StoreUnavailable, is_missing, store_errors
from stages.gateway.problems import Problem

PART_BYTES = 512 << 10
File = Literal["video", "poster"]
MEDIA_TYPES: dict[File, str] = {"video": "video/mp4", "poster": "image/jpeg"}


def find(client: Client, job: JobKey, file: File) -> ArtifactRef:
    """The file of a render that is done.

    Raises JobNotFound, JobNotFinished, JobPurged, Problem JOB_WITHOUT_RESULT, BrokerUnreachable, StoreUnreachable,
    JobDocumentUnreadable.
    """
    state = client.job(job)
    if state.purged_ms is not None:
        raise history.purged(job, state.purged_ms)
    if not state.has_ended:
        raise JobNotFinished(f"job {job.job_id} has not ended: it is {state.status}")
    if not isinstance(state.terminal_event, Done):
        raise Problem(409, "JOB_WITHOUT_RESULT", f"job {job.job_id} ended without a video: it is {state.status}")
    return state.terminal_event.video if file == "video" else state.terminal_event.poster


def part(client: Client, ref: ArtifactRef, offset: int) -> bytes:
    """At most ``PART_BYTES`` from ``offset`` on. Raises ArtifactUnavailable, StoreUnreachable."""
    last = min(offset + PART_BYTES, ref.size) - 1
    try:
        bucket = client.connection.storage_settings.artifact_bucket(ref.bucket)
    except KeyError:
        raise ArtifactUnavailable(f"the bucket {ref.bucket!r} is not configured here", "set LIPSTAGE_OUTPUT_BUCKETS") \
            from None  # fmt: skip
    data: bytes | None = None
    try:
        with store_errors("reading a result"):
            try:
                answer = client.connection.s3.get_object(Bucket=bucket, Key=ref.key, Range=f"bytes={offset}-{last}")
                data = answer["Body"].read()
            except AnswerError as e:
                if not is_missing(e):
                    raise
    except StoreUnavailable as e:
        raise StoreUnreachable(str(e)) from None
    if data is None:
        raise ArtifactUnavailable("the file does not exist any more", "render it again", Code.ARTIFACT_MISSING)
    if len(data) != last - offset + 1:
        raise ArtifactUnavailable("the file is altered: its size differs", code=Code.ARTIFACT_ALTERED)
    return data
