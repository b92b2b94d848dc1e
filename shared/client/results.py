"""The files of a finished render in the object store, read as a stream, whole or a part of them."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError as S3Error

from shared.client import history
from shared.client.client import Client
from shared.client.errors import ArtifactUnavailable, JobNotFinished, JobWithoutResult, StoreUnreachable
from shared.client.job_key import JobKey
from shared.client.job_state import JobState
from shared.messages.codes import Code
from shared.messages.events import Done, TerminalEvent
from shared.storage.errors import StoreUnavailable, is_missing, store_errors

if TYPE_CHECKING:
    from botocore.response import StreamingBody

File = Literal["video", "poster"]
MEDIA_TYPES: dict[File, str] = {"video": "video/mp4", "poster": "image/jpeg"}


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of an object, from ``first`` to ``last``, which is included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.last - self.first + 1


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

    Raises JobNotFound, JobNotFinished, JobWithoutResult, JobPurged, ArtifactUnavailable, StoreUnreachable,
    BrokerUnreachable, JobDocumentUnreadable.
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


def _without_files(job: JobKey, terminal: TerminalEvent) -> JobWithoutResult:
    state = JobState(job.job_id)
    state.apply(terminal)
    code, message = getattr(terminal, "code", ""), getattr(terminal, "message", "")
    return JobWithoutResult(
        f"job {job.job_id} ended without a video: it is {state.status}", details=(f"{code}: {message}",)
    )


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
            except S3Error as e:
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
