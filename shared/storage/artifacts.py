"""Objects that stages write: each is stored once under its own key and verified by size and SHA-256 on every read."""

import mimetypes
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from shared.messages.refs import ArtifactRef
from shared.storage.answers import Answer, classify, in_words, is_full, meaning, reason, status
from shared.storage.client import MULTIPART_BYTES, transfer_config
from shared.storage.erasing import Erased, Eraser, Wanted
from shared.storage.errors import (
    ArtifactAltered,
    ArtifactMissing,
    ArtifactRefused,
    OutputRefused,
    StorageError,
    StoreUnavailable,
    is_missing,
    store_errors,
)
from shared.storage.probe import BucketProbe
from shared.storage.rereading import reread
from shared.storage.retry import Retry, once, retried
from shared.storage.settings import ARTIFACTS, StorageSettings
from shared.storage.streams import HashingReader, save

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CopySourceTypeDef, GetObjectOutputTypeDef, ObjectIdentifierTypeDef

Tag = tuple[str, str]
"""Key and value of an object's tag."""
FRAMES_TAG: Tag = ("lipstage-class", "frames")
"""Tag of objects that only the next stage needs; the bucket's lifecycle rule for frames selects it."""
CHECKPOINTS_TAG: Tag = ("lipstage-class", "checkpoints")
"""Tag of checkpoints, for a lifecycle rule of their own."""
JOBS = "jobs/"
PURGE_BATCH = 1000
"""Keys per DeleteObjects call, S3's limit."""


class FileChanged(OSError):
    """A file changed while it was uploaded: its writer is at fault, not this machine."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of a listing; ``size`` in bytes."""

    key: str
    size: int
    modified: datetime


@contextmanager
def _unchanged(path: Path, length: int) -> Iterator[None]:
    """Raise FileChanged instead of StoreUnavailable when the file's size has changed: a body that ends early looks like
    an outage."""
    try:
        yield
    except StoreUnavailable as error:
        if path.stat().st_size != length:
            raise FileChanged(f"{path.name} changed while it was uploaded") from error
        raise


class ArtifactStore:
    """Artifacts by reference. Thread-safe.

    Every method raises StoreUnavailable when the object store fails, ArtifactRefused when it refuses this object. All
    but ``list_prefix`` run under ``retry``.
    """

    def __init__(self, client: "S3Client", settings: StorageSettings, retry: Retry = once) -> None:
        self.retry = retry
        self.client = client
        self.settings = settings
        self._probe = BucketProbe(client, settings.bucket)
        self.eraser = Eraser(client)

    @property
    def unchecked(self) -> Collection[str]:
        """Buckets whose versioning these credentials may not read: ``erase`` leaves old versions there."""
        return self.eraser.unchecked

    def answers(self) -> bool:
        """Whether the bucket can be read and written, tested with an object that belongs to no job."""
        try:
            with store_errors("probing the bucket"):
                return self._probe.works(JOBS, write=True) and self._probe.works(JOBS, write=False)
        except StorageError:
            return False

    @retried
    def put(self, path: Path, key: str, *, bucket: str = ARTIFACTS, tag: Tag | None = None) -> ArtifactRef:
        """Upload a file; returns its reference. The digest is computed in the same pass.

        ``tag`` selects another lifecycle rule: FRAMES_TAG, CHECKPOINTS_TAG. Raises FileChanged, OSError when the file
        can't be read, KeyError for an unknown bucket alias.
        """
        name = self.settings.artifact_bucket(bucket)
        content_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
        tagging = "=".join(tag) if tag is not None else ""
        length = path.stat().st_size
        refusals = self._probe.refusals("writing an artifact", key, write=True)
        with HashingReader(path) as body, _unchanged(path, length), refusals:
            if length <= MULTIPART_BYTES:
                self.client.put_object(Bucket=name, Key=key, Body=body, ContentType=content_type, Tagging=tagging)
            else:
                self.client.upload_fileobj(
                    body,
                    name,
                    key,
                    ExtraArgs={"ContentType": content_type} | ({"Tagging": tagging} if tagging else {}),
                    Config=transfer_config(),
                )
            digest = body.digest
        if digest.size != length:
            raise FileChanged(f"{path.name} changed while it was uploaded")
        return ArtifactRef(bucket=bucket, key=key, sha256=digest.sha256, size=digest.size)

    @retried
    def put_bytes(self, data: bytes, key: str, *, bucket: str = ARTIFACTS) -> ArtifactRef:
        """Upload a small object from memory; returns its reference."""
        name = self.settings.artifact_bucket(bucket)
        content_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
        with self._probe.refusals("writing an artifact", key, write=True):
            self.client.put_object(Bucket=name, Key=key, Body=data, ContentType=content_type)
        return ArtifactRef(bucket=bucket, key=key, sha256=sha256(data).hexdigest(), size=len(data))

    @retried
    def get(self, ref: ArtifactRef, path: Path) -> None:
        """Download to ``path``; on an error no file is left there.

        Raises ArtifactMissing, and ArtifactAltered when after several reads size or SHA-256 differ from the reference.
        """

        def read() -> None:
            with self._probe.refusals("reading an artifact", ref.key, write=False):
                digest = save(self._open(ref)["Body"], path, ref.size)
            self._verify(ref, digest.size, digest.sha256)

        try:
            reread(read, ArtifactAltered)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    @retried
    def get_bytes(self, ref: ArtifactRef, max_bytes: int) -> bytes:
        """A small object's content. Raises as ``get`` does, and ArtifactAltered when ``ref.size`` exceeds
        ``max_bytes``."""
        if ref.size > max_bytes:
            raise ArtifactAltered(f"{ref.key} has {ref.size} bytes, more than {max_bytes}")

        def read() -> bytes:
            with self._probe.refusals("reading an artifact", ref.key, write=False):
                data = self._open(ref)["Body"].read()
            self._verify(ref, len(data), sha256(data).hexdigest())
            return data

        return reread(read, ArtifactAltered)

    @retried
    def exists(self, ref: ArtifactRef) -> bool:
        """Whether an object with the reference's key and size exists; its content is not read."""
        return self._exists(ref)

    def _exists(self, ref: ArtifactRef) -> bool:
        with self._probe.refusals("looking for an artifact", ref.key, write=False):
            try:
                head = self.client.head_object(Bucket=self.settings.artifact_bucket(ref.bucket), Key=ref.key)
            except ClientError as error:
                if is_missing(error):
                    return False
                raise
        return head.get("ContentLength") == ref.size

    def list_prefix(self, prefix: str, *, bucket: str = ARTIFACTS) -> Iterator[Listed]:
        """All objects under a prefix, ordered by key. Raises OutputRefused for an unknown alias."""
        name, pages = self._named(bucket), self.client.get_paginator("list_objects_v2")
        with self._probe.refusals("listing artifacts", prefix, write=False):
            for page in pages.paginate(Bucket=name, Prefix=prefix):
                for entry in page.get("Contents", []):
                    yield Listed(entry["Key"], entry["Size"], entry["LastModified"])

    @retried
    def copy(self, ref: ArtifactRef, bucket: str, key: str) -> ArtifactRef:
        """Copy an artifact within the object store to ``key`` in the bucket with the alias ``bucket``; returns the
        reference of the copy.

        Raises ArtifactMissing, and OutputRefused for an unknown alias, a missing bucket or a missing permission.
        """
        target = self._named(bucket)
        source: CopySourceTypeDef = {"Bucket": self.settings.artifact_bucket(ref.bucket), "Key": ref.key}
        with store_errors("copying an artifact"):
            try:
                self.client.copy_object(Bucket=target, Key=key, CopySource=source)
            except ClientError as error:
                self._explain_copy(error, ref, bucket)
                raise
        return ref.model_copy(update={"bucket": bucket, "key": key})

    def _explain_copy(self, error: ClientError, ref: ArtifactRef, bucket: str) -> None:
        """Raise ArtifactMissing or OutputRefused; return when the object store as a whole is at fault.

        A copy has one answer for source and target, so a HEAD request for the source tells them apart.
        """
        # Some object stores answer 500 for a target bucket that does not exist.
        bucket_missing = status(error) == 500 and self._is_missing_bucket(bucket)
        if meaning(error) is Answer.OUTAGE and not bucket_missing and not (is_full(error) and bucket != ARTIFACTS):
            return
        if not self._exists(ref):
            raise ArtifactMissing(f"{ref.key} does not exist") from error
        raise OutputRefused(f"output bucket {bucket}: {status(error)} {reason(error)}") from error

    def _is_missing_bucket(self, bucket: str) -> bool:
        try:
            self.client.head_bucket(Bucket=self.settings.artifact_bucket(bucket))
        except ClientError as error:
            return meaning(error) in (Answer.MISSING, Answer.BUCKET)
        return False

    @retried
    def delete(self, keys: Iterable[str], *, bucket: str = ARTIFACTS) -> int:
        """Delete objects by key; missing ones count as deleted. Returns the number of keys. Raises OutputRefused for an
        unknown alias."""
        return self._delete(keys, bucket)

    def _delete(self, keys: Iterable[str], bucket: str = ARTIFACTS) -> int:
        name, batch, count = self._named(bucket), list[str](), 0
        for key in keys:
            batch.append(key)
            if len(batch) == PURGE_BATCH:
                count += self._delete_batch(name, batch)
                batch = []
        return count + self._delete_batch(name, batch)

    def _named(self, bucket: str) -> str:
        """The bucket with this alias. Raises OutputRefused: a request may name one that this service does not know."""
        try:
            return self.settings.artifact_bucket(bucket)
        except KeyError:
            raise OutputRefused(f"no output bucket has the alias {bucket}") from None

    @retried
    def delete_prefix(self, prefix: str) -> int:
        """Delete all artifacts under the prefix of one job, one cached output or deeper; returns the number of objects.

        Raises ValueError for a shorter prefix or one without a slash at its end: a mistake must not empty a bucket.
        """
        if prefix.count("/") < 3 or not prefix.endswith("/"):
            raise ValueError(f"not the prefix of one job or output: {prefix!r}")
        return self._delete([entry.key for entry in self.list_prefix(prefix)])

    @retried
    def erase(self, prefix: str, *, bucket: str = ARTIFACTS, wanted: Wanted | None = None) -> Erased:
        """Delete the objects under a prefix, those that are ``wanted`` where that is given, with their old versions.

        Raises OutputRefused for an unknown alias; ValueError as ``delete_prefix`` does.
        """
        if prefix.count("/") < 2:
            raise ValueError(f"not the prefix of one job or output: {prefix!r}")
        return self.eraser.erase(self._named(bucket), prefix, wanted)

    def _open(self, ref: ArtifactRef) -> "GetObjectOutputTypeDef":
        try:
            answer = self.client.get_object(Bucket=self.settings.artifact_bucket(ref.bucket), Key=ref.key)
        except ClientError as error:
            if is_missing(error):
                raise ArtifactMissing(f"{ref.key} does not exist") from error
            raise
        size = answer.get("ContentLength", ref.size)
        if size != ref.size:
            answer["Body"].close()
            raise ArtifactAltered(f"{ref.key} has {size} bytes instead of {ref.size}")
        return answer

    def _verify(self, ref: ArtifactRef, size: int, digest: str) -> None:
        if size != ref.size or digest != ref.sha256:
            raise ArtifactAltered(f"{ref.key} is altered: its SHA-256 differs")

    def _delete_batch(self, bucket: str, batch: list[str]) -> int:
        if not batch:
            return 0
        objects: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in batch]
        # No probe: without permission to delete, the lifecycle rules clean up, and no job fails or waits.
        with store_errors("deleting artifacts"):
            try:
                answer = self.client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            except ClientError as error:
                if meaning(error) in (Answer.OBJECT, Answer.UNCLEAR):
                    raise ArtifactRefused(f"deleting artifacts: an object {in_words(error)}") from error
                raise
        if failed := answer.get("Errors"):
            codes = {str(entry.get("Code", "")) for entry in failed}
            message = f"deleting artifacts: {len(failed)} of {len(batch)} were refused"
            # Each error has a code but no status.
            if any(classify(400, code) is Answer.OUTAGE for code in codes):
                raise StoreUnavailable(message)
            raise ArtifactRefused(message)
        return len(batch)
