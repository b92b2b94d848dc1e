"""Objects that stages write: put once under a key of their own, verified by size and SHA-256 on every read."""

import mimetypes
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from shared.messages.refs import ArtifactRef
from shared.storage.answers import Answer, classify, in_words, is_full, meaning, reason, status
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

MULTIPART_BYTES = 64 << 20
"""Larger files go in parts; smaller ones in one PUT, which is faster on a single node."""
PART_BYTES = 16 << 20
FRAMES_TAG = ("lipstage-class", "frames")
"""Object tag of what only the next stage needs; the bucket's lifecycle rule for frames finds it."""
JOBS = "jobs/"
PURGE_BATCH = 1000
"""Keys per DeleteObjects call, S3's limit."""


class FileChanged(OSError):
    """A file was written to while it was uploaded: its writer's fault, not this machine's."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of a listing."""

    key: str
    size: int
    modified: datetime


@contextmanager
def _unchanged(path: Path, length: int) -> Iterator[None]:
    """A body that ends too soon looks like a store that does not answer: say FileChanged instead."""
    try:
        yield
    except StoreUnavailable as error:
        if path.stat().st_size != length:
            raise FileChanged(f"{path.name} changed while it was uploaded") from error
        raise


class ArtifactStore:
    """Artifacts by reference. Thread-safe.

    Every method raises StoreUnavailable when the store as a whole fails, ArtifactRefused when it refuses this object;
    all but ``list_prefix`` run under ``retry``.
    """

    def __init__(self, client: "S3Client", settings: StorageSettings, retry: Retry = once) -> None:
        self.retry = retry
        self.client = client
        self.settings = settings
        self._probe = BucketProbe(client, settings.bucket)

    def answers(self) -> bool:
        """Whether the bucket can be read and written, by an object that belongs to no job."""
        try:
            with store_errors("probing the bucket"):
                return self._probe.works(JOBS, write=True) and self._probe.works(JOBS, write=False)
        except StorageError:
            return False

    @retried
    def put(self, path: Path, key: str, *, bucket: str = ARTIFACTS, frames: bool = False) -> ArtifactRef:
        """Upload a file and return its reference, digested in the same pass.

        ``frames`` marks what only the next stage needs. Raises FileChanged, OSError when the file can't be read,
        KeyError for an unknown bucket alias.
        """
        name = self.settings.artifact_bucket(bucket)
        content_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
        tagging = "=".join(FRAMES_TAG) if frames else ""
        length = path.stat().st_size
        refusals = self._probe.refusals("writing an artifact", key, write=True)
        with HashingReader(path) as body, _unchanged(path, length), refusals:
            if length <= MULTIPART_BYTES:
                self.client.put_object(Bucket=name, Key=key, Body=body, ContentType=content_type, Tagging=tagging)
            else:
                # On this thread: parts of other threads would leave the caller's trace and could not be digested.
                self.client.upload_fileobj(
                    body,
                    name,
                    key,
                    ExtraArgs={"ContentType": content_type} | ({"Tagging": tagging} if tagging else {}),
                    Config=TransferConfig(MULTIPART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False),
                )
            digest = body.digest
        if digest.size != length:
            raise FileChanged(f"{path.name} changed while it was uploaded")
        return ArtifactRef(bucket=bucket, key=key, sha256=digest.sha256, size=digest.size)

    @retried
    def put_bytes(self, data: bytes, key: str, *, bucket: str = ARTIFACTS) -> ArtifactRef:
        """Upload a small object from memory and return its reference."""
        name = self.settings.artifact_bucket(bucket)
        content_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
        with self._probe.refusals("writing an artifact", key, write=True):
            self.client.put_object(Bucket=name, Key=key, Body=data, ContentType=content_type)
        return ArtifactRef(bucket=bucket, key=key, sha256=sha256(data).hexdigest(), size=len(data))

    @retried
    def get(self, ref: ArtifactRef, path: Path) -> None:
        """Download to ``path``; on an error no file is left there.

        Raises ArtifactMissing, and ArtifactAltered when size or SHA-256 are not those of the reference, read several
        times: what is damaged on the way is whole in the store.
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
        """A small object's content. Raises as ``get``, and ArtifactAltered when it is said to exceed ``max_bytes``."""
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
        """Whether an object of that size lies under the key; its content is not read."""
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
        """All objects under a prefix, in key order."""
        pages = self.client.get_paginator("list_objects_v2")
        with self._probe.refusals("listing artifacts", prefix, write=False):
            for page in pages.paginate(Bucket=self.settings.artifact_bucket(bucket), Prefix=prefix):
                for entry in page.get("Contents", []):
                    yield Listed(entry["Key"], entry["Size"], entry["LastModified"])

    @retried
    def copy(self, ref: ArtifactRef, bucket: str, key: str) -> ArtifactRef:
        """Copy an artifact within the store to another bucket's alias and key; the reference of the copy.

        Raises ArtifactMissing, OutputRefused when the store refuses the copy (no such alias or bucket, no right to it).
        """
        if bucket != ARTIFACTS and bucket not in self.settings.output_buckets:
            raise OutputRefused(f"no output bucket has the alias {bucket}")
        source: CopySourceTypeDef = {"Bucket": self.settings.artifact_bucket(ref.bucket), "Key": ref.key}
        target = self.settings.artifact_bucket(bucket)
        with store_errors("copying an artifact"):
            try:
                self.client.copy_object(Bucket=target, Key=key, CopySource=source)
            except ClientError as error:
                self._explain_copy(error, ref, bucket)
                raise
        return ref.model_copy(update={"bucket": bucket, "key": key})

    def _explain_copy(self, error: ClientError, ref: ArtifactRef, bucket: str) -> None:
        """Raise whose answer it is, that of the artifact or of the output bucket; return if it is the store's failure.

        A copy has one answer for both: so the artifact is asked for by itself first.
        """
        found = meaning(error)
        # Some stores answer 500 for a target that is not there.
        gone = status(error) == 500 and self._is_gone(bucket)
        if found is Answer.OUTAGE and not gone and not (is_full(error) and bucket != ARTIFACTS):
            return
        if not self._exists(ref):
            raise ArtifactMissing(f"{ref.key} is gone") from error
        raise OutputRefused(f"output bucket {bucket}: {status(error)} {reason(error)}") from error

    def _is_gone(self, bucket: str) -> bool:
        try:
            self.client.head_bucket(Bucket=self.settings.artifact_bucket(bucket))
        except ClientError as error:
            return meaning(error) in (Answer.MISSING, Answer.BUCKET)
        return False

    @retried
    def delete(self, keys: Iterable[str], *, bucket: str = ARTIFACTS) -> int:
        """Delete objects by key; those that do not exist count as deleted. Returns how many were asked for."""
        return self._delete(keys, bucket)

    def _delete(self, keys: Iterable[str], bucket: str = ARTIFACTS) -> int:
        name, batch, count = self.settings.artifact_bucket(bucket), list[str](), 0
        for key in keys:
            batch.append(key)
            if len(batch) == PURGE_BATCH:
                count += self._delete_batch(name, batch)
                batch = []
        return count + self._delete_batch(name, batch)

    @retried
    def delete_prefix(self, prefix: str) -> int:
        """Delete all artifacts under a prefix of at least a job's or cache output's depth; returns how many.

        Raises ValueError for a shorter prefix or one that does not end at a segment: a slip must not empty a bucket.
        """
        if prefix.count("/") < 3 or not prefix.endswith("/"):
            raise ValueError(f"not the prefix of one job or output: {prefix!r}")
        return self._delete([entry.key for entry in self.list_prefix(prefix)])

    def _open(self, ref: ArtifactRef) -> "GetObjectOutputTypeDef":
        try:
            answer = self.client.get_object(Bucket=self.settings.artifact_bucket(ref.bucket), Key=ref.key)
        except ClientError as error:
            if is_missing(error):
                raise ArtifactMissing(f"{ref.key} is gone") from error
            raise
        size = answer.get("ContentLength", ref.size)
        if size != ref.size:
            answer["Body"].close()
            raise ArtifactAltered(f"{ref.key} has {size} bytes instead of {ref.size}")
        return answer

    def _verify(self, ref: ArtifactRef, size: int, digest: str) -> None:
        if size != ref.size or digest != ref.sha256:
            raise ArtifactAltered(f"{ref.key} is not what was written: its SHA-256 differs")

    def _delete_batch(self, bucket: str, batch: list[str]) -> int:
        if not batch:
            return 0
        objects: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in batch]
        # No probe: where nothing may be deleted the lifecycle rules sweep, and no job ends or waits for that.
        with store_errors("deleting artifacts"):
            try:
                answer = self.client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            except ClientError as error:
                if meaning(error) in (Answer.OBJECT, Answer.UNCLEAR):
                    raise ArtifactRefused(f"deleting artifacts: the store {in_words(error)}") from error
                raise
        if failed := answer.get("Errors"):
            codes = {str(entry.get("Code", "")) for entry in failed}
            said = f"deleting artifacts: {len(failed)} of {len(batch)} were refused"
            # Each has a code, and no status of its own.
            if any(classify(400, code) is Answer.OUTAGE for code in codes):
                raise StoreUnavailable(said)
            raise ArtifactRefused(said)
        return len(batch)
