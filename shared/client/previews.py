"""The files of a render's preview, which are published while the video is encoded."""

import re

from botocore.exceptions import ClientError as S3Error

from shared.client import history
from shared.client.client import Client
from shared.client.errors import PreviewNotFound, StoreUnreachable
from shared.client.job_key import JobKey
from shared.storage import keys
from shared.storage.errors import InputForbidden, StoreUnavailable, is_missing, store_errors

_NAME = re.compile(rf"{re.escape(keys.PLAYLIST)}|{keys.PREVIEW}/[A-Za-z0-9_-]+/(init|[0-9]+)\.mp4")


def read(client: Client, job: JobKey, name: str) -> bytes:
    """A file of the preview: the playlist ``index.m3u8``, or a segment that it names.

    Raises PreviewNotFound, JobNotFound, JobPurged, StoreUnreachable, JobDocumentUnreadable.
    """
    if _NAME.fullmatch(name) is None:
        raise _no_preview("a preview has no such file")
    record = history.stored_request(client.connection, job)
    if record is None:
        client.job(job)
        raise _no_preview("no service has taken the request yet")
    if record.purged_ms is not None:
        raise history.purged(job, record.purged_ms)
    if record.output is None or not record.output.preview:
        raise _no_preview("the request asks for none: output.preview")
    try:
        bucket = client.connection.storage_settings.artifact_bucket(record.output.bucket)
        key = keys.output_folder(job.tenant, record.output.prefix, job.job_id) + name
    except (KeyError, InputForbidden):
        raise _no_preview("its bucket is not configured here") from None
    return _small(client, bucket, key)


def _small(client: Client, bucket: str, key: str) -> bytes:
    try:
        with store_errors("reading a preview"):
            try:
                return client.connection.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            except S3Error as e:
                if not is_missing(e):
                    raise
    except StoreUnavailable as e:
        raise StoreUnreachable(str(e)) from None
    raise _no_preview("this part is not published")


def _no_preview(reason: str) -> PreviewNotFound:
    return PreviewNotFound(f"there is no preview: {reason}")
