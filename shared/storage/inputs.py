"""Objects that users supply: looked at before they are read, read only up to a limit, and only as they were seen."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from shared.messages.refs import InputRef
from shared.storage.answers import Answer, in_words, meaning, status
from shared.storage.errors import (
    InputDigestMismatch,
    InputForbidden,
    InputNotFound,
    InputTooLarge,
    store_errors,
)
from shared.storage.keys import checked_for
from shared.storage.rereading import reread
from shared.storage.retry import Retry, once, retried
from shared.storage.settings import StorageSettings
from shared.storage.streams import Digest, save

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef

FOLDER_TYPES = frozenset({"application/x-directory", "httpd/unix-directory"})
"""Content types by which some stores and tools mark an object that stands for a folder."""


@dataclass(frozen=True, slots=True)
class InputHead:
    """What the store says of an input before it is read: size in bytes and entity tag."""

    size: int
    etag: str


class InputStore:
    """Inputs by reference. Thread-safe; every method raises StoreUnavailable when the store as a whole fails.

    What the store answers about one object ends the job that names it, so it is an InputError: no other job waits.
    """

    def __init__(self, client: "S3Client", settings: StorageSettings, retry: Retry = once) -> None:
        self.retry = retry
        self._client = client
        self._buckets = settings.input_buckets

    @retried
    def head(self, ref: InputRef, tenant: str) -> InputHead:
        """Size and entity tag, without reading the object.

        Raises InputForbidden (alias unknown, key outside ``<tenant>/``, the store refuses the object), InputNotFound
        (also for a folder, and where the alias's bucket is missing), InputDigestMismatch when the reference gives
        another size.
        """
        return self._head(ref, tenant)

    def _head(self, ref: InputRef, tenant: str) -> InputHead:
        bucket = self._bucket(ref, tenant)
        with store_errors("looking at an input"):
            try:
                answer = self._look(bucket, ref.key)
            except ClientError as error:
                self._explain(error, ref)
                raise
        if answer.get("ContentType") in FOLDER_TYPES:
            raise InputNotFound(f"{ref.key} is a folder, not an object")
        size, etag = _whole_size(answer), answer.get("ETag")
        if size is None or etag is None:
            raise InputForbidden(f"{ref.key} is refused: the store does not say how large it is")
        if ref.size is not None and ref.size != size:
            raise InputDigestMismatch(f"{ref.key} has {size} bytes, the request says {ref.size}")
        return InputHead(size, etag)

    @retried
    def get(self, ref: InputRef, path: Path, max_bytes: int, *, tenant: str) -> Digest:
        """Download to ``path`` and return what came; on an error no file is left there.

        Raises as ``head``; InputTooLarge at the announced or the true length; InputDigestMismatch when the SHA-256
        differs from the reference's or the object was replaced while it was read.
        """
        head = self._head(ref, tenant)
        if head.size > max_bytes:
            raise InputTooLarge(f"{ref.key} has {head.size} bytes, the limit is {max_bytes}")
        bucket = self._bucket(ref, tenant)
        try:
            return reread(lambda: self._download(ref, path, max_bytes, bucket, head.etag), _Differs)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _download(self, ref: InputRef, path: Path, max_bytes: int, bucket: str, etag: str) -> Digest:
        with store_errors("reading an input"):
            try:
                answer = self._client.get_object(Bucket=bucket, Key=ref.key, IfMatch=etag)
            except ClientError as error:
                if status(error) == 412:
                    raise InputDigestMismatch(f"{ref.key} was replaced while it was read") from error
                self._explain(error, ref)
                raise
            try:
                digest = save(answer["Body"], path, max_bytes)
            finally:
                answer["Body"].close()
        if digest.size > max_bytes:
            raise InputTooLarge(f"{ref.key} has more than {max_bytes} bytes")
        if ref.sha256 is not None and ref.sha256 != digest.sha256:
            raise _Differs(f"{ref.key} has another SHA-256 than the request says")
        return digest

    def _bucket(self, ref: InputRef, tenant: str) -> str:
        checked_for(tenant, ref.key)
        try:
            return self._buckets[ref.bucket]
        except KeyError:
            known = ", ".join(sorted(self._buckets))
            raise InputForbidden(f"no input bucket has the alias {ref.bucket!r}; there are: {known}") from None

    def _explain(self, error: ClientError, ref: InputRef) -> None:
        """Raise what the answer means for the user; return if it is the store's failure."""
        match meaning(error):
            case Answer.MISSING:
                raise InputNotFound(f"{ref.key} does not exist in {ref.bucket}") from error
            case Answer.BUCKET:
                raise InputNotFound(f"{ref.key} can't be found: the bucket of {ref.bucket} is not there") from error
            case Answer.OBJECT | Answer.UNCLEAR:
                raise InputForbidden(f"{ref.key} {in_words(error)}") from error
            case Answer.OUTAGE:
                return

    def _look(self, bucket: str, key: str) -> "HeadObjectOutputTypeDef | GetObjectOutputTypeDef":
        """The answer to HEAD. Where that is a bare status (the same for a bad signature, a wrong clock and an object of
        its own kind) the answer to a GET of the first byte, which has a reason. Raises ClientError."""
        try:
            return self._client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if meaning(error) is not Answer.UNCLEAR:
                raise
        answer = self._client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")
        answer["Body"].close()
        return answer


def _whole_size(answer: "HeadObjectOutputTypeDef | GetObjectOutputTypeDef") -> int | None:
    """Bytes of the object, also where the answer holds a part of it; None when it does not say."""
    whole = str(answer.get("ContentRange", "")).rpartition("/")[2]
    return int(whole) if whole.isdecimal() else answer.get("ContentLength")


class _Differs(InputDigestMismatch):
    """What came has another digest: on the way, or in the store."""
