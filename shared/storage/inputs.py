"""Objects that users supply: checked by their headers before they are read, and read up to a limit."""

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
"""Content types with which some object stores and tools mark an object that represents a folder."""


@dataclass(frozen=True, slots=True)
class InputHead:
    """Size in bytes and entity tag of an input."""

    size: int
    etag: str


class InputStore:
    """Inputs by reference. Thread-safe; every method raises StoreUnavailable when the object store fails.

    An answer about one object raises InputError: it ends the job that names the object, and no other job waits.
    """

    def __init__(self, client: "S3Client", settings: StorageSettings, retry: Retry = once) -> None:
        self.retry = retry
        self._client = client
        self._buckets = settings.input_buckets

    @retried
    def head(self, ref: InputRef, tenant: str) -> InputHead:
        """Size and entity tag, without reading the object.

        Raises InputForbidden (unknown alias, key outside ``<tenant>/``, object refused), InputNotFound (also for a
        folder, and for a missing bucket), InputDigestMismatch when the reference has another size.
        """
        return self._head(ref, tenant)

    def _head(self, ref: InputRef, tenant: str) -> InputHead:
        bucket = self._bucket(ref, tenant)
        with store_errors("looking at an input"):
            try:
                answer = self._head_object(bucket, ref.key)
            except ClientError as error:
                self._explain(error, ref)
                raise
        return _checked(ref, answer)

    @retried
    def get(self, ref: InputRef, path: Path, max_bytes: int, *, tenant: str) -> Digest:
        """Download to ``path``; returns digest and size. On an error no file is left there.

        Raises as ``head`` does, before anything of the object is stored; InputTooLarge when the announced or the true
        length exceeds ``max_bytes``; InputDigestMismatch when the SHA-256 differs from the reference's or the object
        was replaced between two reads.
        """
        bucket, etag = self._bucket(ref, tenant), ""

        def read() -> Digest:
            nonlocal etag
            with store_errors("reading an input"):
                answer = self._open(ref, bucket, etag)
                try:
                    head = _checked(ref, answer)
                    if head.size > max_bytes:
                        raise InputTooLarge(f"{ref.key} has {head.size} bytes, the limit is {max_bytes}")
                    etag = head.etag
                    digest = save(answer["Body"], path, max_bytes)
                finally:
                    answer["Body"].close()
            if digest.size > max_bytes:
                raise InputTooLarge(f"{ref.key} has more than {max_bytes} bytes")
            if ref.sha256 is not None and ref.sha256 != digest.sha256:
                raise _Differs(f"{ref.key} has another SHA-256 than in the request")
            return digest

        try:
            return reread(read, _Differs)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _open(self, ref: InputRef, bucket: str, etag: str) -> "GetObjectOutputTypeDef":
        """The answer to GET, under the condition that the object is still the one with ``etag``, if any."""
        try:
            if etag:
                return self._client.get_object(Bucket=bucket, Key=ref.key, IfMatch=etag)
            return self._client.get_object(Bucket=bucket, Key=ref.key)
        except ClientError as error:
            if status(error) == 412:
                raise InputDigestMismatch(f"{ref.key} was replaced while it was read") from error
            self._explain(error, ref)
            raise

    def _bucket(self, ref: InputRef, tenant: str) -> str:
        checked_for(tenant, ref.key)
        try:
            return self._buckets[ref.bucket]
        except KeyError:
            aliases = ", ".join(sorted(self._buckets))
            raise InputForbidden(f"no input bucket has the alias {ref.bucket!r}; aliases are: {aliases}") from None

    def _explain(self, error: ClientError, ref: InputRef) -> None:
        """Raise the InputError for the answer; return when the object store as a whole is at fault."""
        match meaning(error):
            case Answer.MISSING:
                raise InputNotFound(f"{ref.key} does not exist in {ref.bucket}") from error
            case Answer.BUCKET:
                raise InputNotFound(f"{ref.key} can't be found: the bucket of {ref.bucket} does not exist") from error
            case Answer.OBJECT | Answer.UNCLEAR:
                raise InputForbidden(f"{ref.key} {in_words(error)}") from error
            case Answer.OUTAGE:
                return

    def _head_object(self, bucket: str, key: str) -> "HeadObjectOutputTypeDef | GetObjectOutputTypeDef":
        """The answer to HEAD. Where that is a bare status (the same for a bad signature, a wrong clock and a refused
        object) the answer to a GET of the first byte, which has a reason. Raises ClientError."""
        try:
            return self._client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if meaning(error) is not Answer.UNCLEAR:
                raise
        answer = self._client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")
        answer["Body"].close()
        return answer


def _checked(ref: InputRef, answer: "HeadObjectOutputTypeDef | GetObjectOutputTypeDef") -> InputHead:
    """Size and entity tag by the answer's headers. Raises InputNotFound, InputForbidden, InputDigestMismatch."""
    if answer.get("ContentType") in FOLDER_TYPES:
        raise InputNotFound(f"{ref.key} is a folder, not an object")
    size, etag = _whole_size(answer), answer.get("ETag")
    if size is None or etag is None:
        raise InputForbidden(f"{ref.key} is refused: the object store does not report its size")
    if ref.size is not None and ref.size != size:
        raise InputDigestMismatch(f"{ref.key} has {size} bytes, the request has {ref.size}")
    return InputHead(size, etag)


def _whole_size(answer: "HeadObjectOutputTypeDef | GetObjectOutputTypeDef") -> int | None:
    """Size of the whole object in bytes, also from the answer to a range request; None when unknown."""
    whole = str(answer.get("ContentRange", "")).rpartition("/")[2]
    return int(whole) if whole.isdecimal() else answer.get("ContentLength")


class _Differs(InputDigestMismatch):
    """The downloaded bytes have another digest: damaged in transit, or in the object store."""
