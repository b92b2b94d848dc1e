"""Objects that users supply: looked at before they are read, read only up to a limit, and only as they were seen."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from shared.messages.refs import InputRef
from shared.storage.errors import (
    InputDigestMismatch,
    InputForbidden,
    InputNotFound,
    InputTooLarge,
    is_missing,
    reason,
    status,
    store_errors,
)
from shared.storage.keys import checked_for
from shared.storage.settings import StorageSettings
from shared.storage.streams import Digest, save

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FOLDER_TYPES = frozenset({"application/x-directory", "httpd/unix-directory"})
"""Content types by which some stores and tools mark an object that stands for a folder."""


@dataclass(frozen=True, slots=True)
class InputHead:
    """What the store says of an input before it is read: size in bytes and entity tag."""

    size: int
    etag: str


class InputStore:
    """Inputs by reference. Thread-safe; every method raises StoreUnavailable when the store fails."""

    def __init__(self, client: "S3Client", settings: StorageSettings) -> None:
        self._client = client
        self._buckets = settings.input_buckets

    def head(self, ref: InputRef, tenant: str) -> InputHead:
        """Size and entity tag, without reading the object.

        Raises InputForbidden (alias unknown, key outside ``<tenant>/``, access denied), InputNotFound (also for a
        folder), InputDigestMismatch when the reference gives another size.
        """
        bucket = self._bucket(ref, tenant)
        with store_errors("looking at an input"):
            try:
                answer = self._client.head_object(Bucket=bucket, Key=ref.key)
            except ClientError as error:
                self._explain(error, bucket, ref)
                raise
        if answer.get("ContentType") in FOLDER_TYPES:
            raise InputNotFound(f"{ref.key} is a folder, not an object")
        size = answer["ContentLength"]
        if ref.size is not None and ref.size != size:
            raise InputDigestMismatch(f"{ref.key} has {size} bytes, the request says {ref.size}")
        return InputHead(size, answer["ETag"])

    def get(self, ref: InputRef, path: Path, max_bytes: int, *, tenant: str) -> Digest:
        """Download to ``path`` and return what came; on an error no file is left there.

        Raises as ``head``; InputTooLarge at the announced or the true length; InputDigestMismatch when the SHA-256
        differs from the reference's or the object was replaced while it was read.
        """
        head = self.head(ref, tenant)
        if head.size > max_bytes:
            raise InputTooLarge(f"{ref.key} has {head.size} bytes, the limit is {max_bytes}")
        try:
            digest = self._download(ref, path, max_bytes, self._bucket(ref, tenant), head.etag)
            if digest.size > max_bytes:
                raise InputTooLarge(f"{ref.key} has more than {max_bytes} bytes")
            if ref.sha256 is not None and ref.sha256 != digest.sha256:
                raise InputDigestMismatch(f"{ref.key} has another SHA-256 than the request says")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return digest

    def _download(self, ref: InputRef, path: Path, max_bytes: int, bucket: str, etag: str) -> Digest:
        with store_errors("reading an input"):
            try:
                answer = self._client.get_object(Bucket=bucket, Key=ref.key, IfMatch=etag)
            except ClientError as error:
                if status(error) == 412:
                    raise InputDigestMismatch(f"{ref.key} was replaced while it was read") from error
                self._explain(error, bucket, ref)
                raise
            try:
                return save(answer["Body"], path, max_bytes)
            finally:
                answer["Body"].close()

    def _bucket(self, ref: InputRef, tenant: str) -> str:
        checked_for(tenant, ref.key)
        try:
            return self._buckets[ref.bucket]
        except KeyError:
            known = ", ".join(sorted(self._buckets))
            raise InputForbidden(f"no input bucket has the alias {ref.bucket!r}; there are: {known}") from None

    def _explain(self, error: ClientError, bucket: str, ref: InputRef) -> None:
        """Raise what the answer means for the user; return if it is the store's failure."""
        if is_missing(error):
            raise InputNotFound(f"{ref.key} does not exist in {ref.bucket}") from error
        if status(error) == 403 and self._is_denied(error, bucket, ref.key):
            raise InputForbidden(f"the store denies access to {ref.key} in {ref.bucket}") from error

    def _is_denied(self, error: ClientError, bucket: str, key: str) -> bool:
        """Whether this object is denied, rather than our credentials refused: HEAD answers both by a bare 403."""
        if reason(error) != "403":
            return reason(error) == "AccessDenied"
        try:
            self._client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")["Body"].close()
        except ClientError as second:
            return reason(second) == "AccessDenied"
        return False
