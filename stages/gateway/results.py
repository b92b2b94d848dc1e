"""The files of a finished render in the object store, and those of its preview."""

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError

from shared.client import ArtifactUnavailable, Client, JobKey, JobNotFinished, JobState, StoreUnreachable, history
from shared.messages.codes import Code
from shared.messages.events import Done, TerminalEvent
from shared.storage import keys
from shared.storage.errors import InputForbidden, StoreUnavailable, is_missing, store_errors
from stages.gateway.http.ranges import Span
from stages.gateway.problems import Problem

if TYPE_CHECKING:
    from botocore.response import StreamingBody

File = Literal["video", "poster"]
MEDIA_TYPES: dict[File, str] = {"video": "video/mp4", "poster": "image/jpeg"}
_PREVIEW = re.compile(rf"{re.escape(keys.PLAYLIST)}|{keys.PREVIEW}/[A-Za-z0-9_-]+/(init|[0-9]+)\.mp4")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An object of the artifact bucket, or of an output bucket."""

    bucket: str
    """The name, not the alias."""
    key: str
    size: int
    """Bytes."""
    sha256: str


def find(client: Client, job: JobKey, file: File) -> StoredFile:
    """The file of a render that is done.

    Raises JobNotFound, JobNotFinished, JobPurged, Problem for a render that ended without files, ArtifactUnavailable,
    StoreUnreachable, BrokerUnreachable, JobDocumentUnreadable.
    """
    terminal = client.terminal_event(job)
    if terminal is None:
        state = client.job(job)
        if state.purged_ms is not None:
            raise history.purged(job, state.purged_ms)
        terminal = state.terminal_event
        if terminal is None:
            raise JobNotFinished(f"job {job.job_id} has not ended: it is {state.status}")
    if not isinstance(terminal, Done):
        client.raise_if_purged(job)
        raise _without_files(job, terminal)
    ref = terminal.video if file == "video" else terminal.poster
    if not ref.size:  # Of a purged job nothing but this event is left.
        client.raise_if_purged(job)
    try:
        bucket = client.connection.storage_settings.artifact_bucket(ref.bucket)
    except KeyError:
        raise ArtifactUnavailable(
            f"the file lies in the bucket {ref.bucket!r}, which is not configured here", "set LIPSTAGE_OUTPUT_BUCKETS"
        ) from None
    return StoredFile(bucket, ref.key, ref.size, ref.sha256)


def _without_files(job: JobKey, terminal: TerminalEvent) -> Problem:
    status = JobState(job.job_id)
    status.apply(terminal)
    code, message = getattr(terminal, "code", ""), getattr(terminal, "message", "")
    return Problem(409, "JOB_WITHOUT_RESULT", f"job {job.job_id} ended without a video: it is {status.status}",
                   details=(f"{code}: {message}",))  # fmt: skip


class Reading:
    """An object that is being read; methods block, and one is called at a time."""

    def __init__(self, file: StoredFile, span: Span | None, body: "StreamingBody") -> None:
        self._file = file
        self._left = span.size if span is not None else file.size
        self._digest = hashlib.sha256() if span is None else None
        self._body = body

    def read(self, size: int) -> bytes:
        """The next bytes; empty at the end.

        Raises ArtifactUnavailable, before the last bytes, when the object is not what its render has written,
        StoreUnreachable.
        """
        try:
            with store_errors("reading a result"):
                data: bytes = self._body.read(min(size, self._left)) if self._left else b""
        except StoreUnavailable as e:
            raise StoreUnreachable(str(e)) from None
        if not data and self._left:
            raise StoreUnreachable("the object store ended its answer early")
        self._left -= len(data)
        if self._digest is not None:
            self._digest.update(data)
            if not self._left and data and self._digest.hexdigest() != self._file.sha256:
                raise ArtifactUnavailable("the file is altered: its SHA-256 differs", code=Code.ARTIFACT_ALTERED)
        return data

    def close(self) -> None:
        """Read no more."""
        self._body.close()


def opened(client: Client, job: JobKey, file: StoredFile, span: Span | None) -> Reading:
    """The object, or a part of it. Raises JobPurged, ArtifactUnavailable, StoreUnreachable."""
    wanted = {"Range": f"bytes={span.first}-{span.last}"} if span is not None else {}
    try:
        with store_errors("reading a result"):
            try:
                answer = client.connection.s3.get_object(Bucket=file.bucket, Key=file.key, **wanted)  # type: ignore[arg-type]
            except ClientError as e:
                if not is_missing(e):
                    raise
                answer = None
    except StoreUnavailable as e:
        raise StoreUnreachable(str(e)) from None
    if answer is None:
        client.raise_if_purged(job)
        raise ArtifactUnavailable("the file does not exist any more", "render it again", Code.ARTIFACT_MISSING)
    expected = span.size if span is not None else file.size
    if answer["ContentLength"] != expected:
        answer["Body"].close()
        raise ArtifactUnavailable("the file is altered: its size differs", code=Code.ARTIFACT_ALTERED)
    return Reading(file, span, answer["Body"])


def preview(client: Client, job: JobKey, name: str) -> bytes:
    """A file of the preview, which is published while the video is encoded: the playlist, or a segment.

    Raises Problem PREVIEW_NOT_FOUND, JobNotFound, JobPurged, StoreUnreachable, JobDocumentUnreadable.
    """
    if _PREVIEW.fullmatch(name) is None:
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
            except ClientError as e:
                if not is_missing(e):
                    raise
    except StoreUnavailable as e:
        raise StoreUnreachable(str(e)) from None
    raise _no_preview("this part is not published")


def _no_preview(reason: str) -> Problem:
    return Problem(404, "PREVIEW_NOT_FOUND", f"there is no preview: {reason}")
