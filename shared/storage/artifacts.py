"""Objects that stages write: put once under a key of their own, verified by size and SHA-256 on every read."""

import mimetypes
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from shared.messages.refs import ArtifactRef
from shared.storage.errors import (
    ArtifactAltered,
    ArtifactMissing,
    OutputRefused,
    StoreUnavailable,
    is_missing,
    reason,
    status,
    store_errors,
)
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
REFUSALS = (400, 401, 403, 404, 405)
"""Answers that do not change by asking again."""
PURGE_BATCH = 1000
"""Keys per DeleteObjects call, S3's limit."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of a listing."""

    key: str
    size: int
    modified: datetime


class ArtifactStore:
    """Artifacts by reference. Thread-safe; every method raises StoreUnavailable when the store fails."""

    def __init__(self, client: "S3Client", settings: StorageSettings) -> None:
        self.client = client
        self.settings = settings

    def put(self, path: Path, key: str, *, bucket: str = ARTIFACTS, frames: bool = False) -> ArtifactRef:
        """Upload a file and return its reference, digested in the same pass.

        ``frames`` marks what only the next stage needs. Raises OSError when the file can't be read or changes
        meanwhile, KeyError for an unknown bucket alias.
        """
        name = self.settings.artifact_bucket(bucket)
        content_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
        tagging = "=".join(FRAMES_TAG) if frames else ""
        length = path.stat().st_size
        with HashingReader(path) as body, store_errors("writing an artifact"):
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
            raise OSError(f"{path.name} changed while it was uploaded")
        return ArtifactRef(bucket=bucket, key=key, sha256=digest.sha256, size=digest.size)

    def put_bytes(self, data: bytes, key: str, *, bucket: str = ARTIFACTS) -> ArtifactRef:
        """Upload a small object from memory and return its reference."""
        name = self.settings.artifact_bucket(bucket)
        content_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
        with store_errors("writing an artifact"):
            self.client.put_object(Bucket=name, Key=key, Body=data, ContentType=content_type)
        return ArtifactRef(bucket=bucket, key=key, sha256=sha256(data).hexdigest(), size=len(data))

    def get(self, ref: ArtifactRef, path: Path) -> None:
        """Download to ``path``; on an error no file is left there.

        Raises ArtifactMissing, and ArtifactAltered when size or SHA-256 are not those of the reference.
        """
        try:
            with store_errors("reading an artifact"):
                answer = self._open(ref)
                digest = save(answer["Body"], path, ref.size)
            self._verify(ref, digest.size, digest.sha256)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def get_bytes(self, ref: ArtifactRef, max_bytes: int) -> bytes:
        """A small object's content. Raises as ``get``, and ArtifactAltered when it is said to exceed ``max_bytes``."""
        if ref.size > max_bytes:
            raise ArtifactAltered(f"{ref.key} has {ref.size} bytes, more than {max_bytes}")
        with store_errors("reading an artifact"):
            data = self._open(ref)["Body"].read()
        self._verify(ref, len(data), sha256(data).hexdigest())
        return data

    def exists(self, ref: ArtifactRef) -> bool:
        """Whether an object of that size lies under the key; its content is not read."""
        with store_errors("looking for an artifact"):
            try:
                head = self.client.head_object(Bucket=self.settings.artifact_bucket(ref.bucket), Key=ref.key)
            except ClientError as error:
                if is_missing(error):
                    return False
                raise
        return head["ContentLength"] == ref.size

    def list_prefix(self, prefix: str, *, bucket: str = ARTIFACTS) -> Iterator[Listed]:
        """All objects under a prefix, in key order."""
        pages = self.client.get_paginator("list_objects_v2")
        with store_errors("listing artifacts"):
            for page in pages.paginate(Bucket=self.settings.artifact_bucket(bucket), Prefix=prefix):
                for entry in page.get("Contents", []):
                    yield Listed(entry["Key"], entry["Size"], entry["LastModified"])

    def copy(self, ref: ArtifactRef, bucket: str, key: str) -> ArtifactRef:
        """Copy an artifact within the store to another bucket's alias and key; the reference of the copy.

        Raises ArtifactMissing, OutputRefused when the store says no (a missing bucket, a missing right), KeyError for
        an unknown alias.
        """
        source: CopySourceTypeDef = {"Bucket": self.settings.artifact_bucket(ref.bucket), "Key": ref.key}
        target = self.settings.artifact_bucket(bucket)
        with store_errors("copying an artifact"):
            try:
                self.client.copy_object(Bucket=target, Key=key, CopySource=source)
            except ClientError as error:
                if is_missing(error):
                    raise ArtifactMissing(f"{ref.key} is gone") from error
                # Some stores answer 500 for a target that is not there.
                if status(error) in REFUSALS or not self._has(target):
                    raise OutputRefused(f"output bucket {bucket}: {status(error)} {reason(error)}") from error
                raise
        return ref.model_copy(update={"bucket": bucket, "key": key})

    def _has(self, bucket: str) -> bool:
        try:
            self.client.head_bucket(Bucket=bucket)
        except ClientError as error:
            if status(error) in REFUSALS:
                return False
            raise
        return True

    def delete(self, keys: Iterable[str], *, bucket: str = ARTIFACTS) -> int:
        """Delete objects by key; those that do not exist count as deleted. Returns how many were asked for."""
        name, batch, count = self.settings.artifact_bucket(bucket), list[str](), 0
        for key in keys:
            batch.append(key)
            if len(batch) == PURGE_BATCH:
                count += self._delete_batch(name, batch)
                batch = []
        return count + self._delete_batch(name, batch)

    def delete_prefix(self, prefix: str) -> int:
        """Delete all artifacts under a prefix of at least a job's or cache product's depth; returns how many.

        Raises ValueError for a shorter prefix or one that does not end at a segment: a slip must not empty a bucket.
        """
        if prefix.count("/") < 3 or not prefix.endswith("/"):
            raise ValueError(f"not the prefix of one job or product: {prefix!r}")
        return self.delete([entry.key for entry in self.list_prefix(prefix)])

    def _open(self, ref: ArtifactRef) -> "GetObjectOutputTypeDef":
        try:
            answer = self.client.get_object(Bucket=self.settings.artifact_bucket(ref.bucket), Key=ref.key)
        except ClientError as error:
            if is_missing(error):
                raise ArtifactMissing(f"{ref.key} is gone") from error
            raise
        if answer["ContentLength"] != ref.size:
            answer["Body"].close()
            raise ArtifactAltered(f"{ref.key} has {answer['ContentLength']} bytes instead of {ref.size}")
        return answer

    def _verify(self, ref: ArtifactRef, size: int, digest: str) -> None:
        if size != ref.size or digest != ref.sha256:
            raise ArtifactAltered(f"{ref.key} is not what was written: its SHA-256 differs")

    def _delete_batch(self, bucket: str, batch: list[str]) -> int:
        if not batch:
            return 0
        objects: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in batch]
        with store_errors("deleting artifacts"):
            answer = self.client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        if failed := answer.get("Errors"):
            raise StoreUnavailable(f"deleting artifacts: {len(failed)} of {len(batch)} were refused")
        return len(batch)
