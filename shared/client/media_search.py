"""Finds what was made from one portrait or speech file of a tenant, by the file's SHA-256.

A request names the digests of its inputs, or else their keys; the index of cached outputs names the digests of what a
stage really read; an upload of this library has its digest in its key.
"""

import hashlib
import re
from collections.abc import Collection, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import ClientError

from shared.client.connection import Connection
from shared.client.errors import InvalidRequest
from shared.client.job_key import JobKey
from shared.client.uploads import is_posted
from shared.messages.refs import SHA256, InputRef
from shared.storage import cache_index
from shared.storage.cache_index import CachedBy
from shared.storage.errors import is_missing, store_errors
from shared.storage.markers import RequestRecord

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class InputFile:
    """A portrait or speech file."""

    sha256: str
    size: int
    """Bytes."""

    @classmethod
    def of(cls, path: Path) -> "InputFile":
        """Raises InvalidRequest for a file that can't be read, or is empty."""
        try:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                size = file.tell()
        except OSError as e:
            raise InvalidRequest(f"{path} can't be read: {e.strerror or e}") from None
        if not size:
            raise InvalidRequest(f"{path} is empty")
        return cls(sha256, size)


@dataclass(frozen=True, slots=True)
class Upload:
    """An object of an input bucket, by the bucket's name."""

    bucket: str
    key: str


def uploads_of(connection: Connection, tenant: str) -> Iterator[tuple[Upload, JobKey | None, str | None, int]]:
    """The objects of a tenant whose keys are those of uploads, each with its job, SHA-256 and size in bytes.

    The keys of those that were posted to a URL of the gateway name neither job nor SHA-256. Raises StorageError.
    """
    for bucket in dict.fromkeys(connection.storage_settings.input_buckets.values()):
        for key, size in connection.artifacts.eraser.listed(bucket, f"{tenant}/"):
            match key.split("/"):
                case _ if is_posted(key):
                    yield Upload(bucket, key), None, None, size
                case [_, job, name] if re.fullmatch(SHA256, name):
                    yield Upload(bucket, key), JobKey(tenant, job), name, size


class MediaSearch:
    """One search. Every method raises StorageError where the object store does not answer, or refuses."""

    def __init__(self, connection: Connection, tenant: str, file: InputFile) -> None:
        self._connection = connection
        self._tenant = tenant
        self._file = file
        self._cached: list[CachedBy] = []
        self._compared: dict[tuple[str, str], bool | None] = {}

    def jobs(self, pool: Executor) -> frozenset[JobKey]:
        """The jobs that have cached an output made from the file."""
        documents = self._connection.documents
        entries = cache_index.of_tenant(self._connection.artifacts, self._tenant)
        inputs = pool.map(lambda entry: cache_index.inputs_of(documents, entry), entries)
        self._cached = [entry for entry, found in zip(entries, inputs, strict=True) if self._file.sha256 in found]
        return frozenset(JobKey(one.tenant, one.job) for one in self._cached)

    def uses(self, record: RequestRecord) -> bool | None:
        """Whether a request names the file; None when that can't be told any more."""
        answers = [self._is(ref) for ref in record.inputs]
        return True if True in answers else (None if None in answers else False)

    def rest(self, jobs: Collection[JobKey]) -> tuple[list[CachedBy], list[Upload]]:
        """What was cached from the file, and its uploads, that belong to none of ``jobs``. Call ``jobs`` before."""
        known = frozenset(jobs)
        cached = [one for one in self._cached if JobKey(one.tenant, one.job) not in known]
        uploads = [
            upload
            for upload, job, sha256, size in uploads_of(self._connection, self._tenant)
            if job not in known
            and size == self._file.size
            and (self._compare(upload.bucket, upload.key) if sha256 is None else sha256 == self._file.sha256)
        ]
        return cached, uploads

    def _is(self, ref: InputRef) -> bool | None:
        if ref.sha256 is not None:
            return ref.sha256 == self._file.sha256
        if ref.size is not None and ref.size != self._file.size:
            return False
        bucket = self._connection.storage_settings.input_buckets.get(ref.bucket)
        if bucket is None or not ref.key.startswith(f"{self._tenant}/"):
            return False  # No service has read it.
        if (bucket, ref.key) not in self._compared:
            self._compared[bucket, ref.key] = self._compare(bucket, ref.key)
        return self._compared[bucket, ref.key]

    def _compare(self, bucket: str, key: str) -> bool | None:
        """Whether an object is the file; None for one that does not exist any more."""
        with store_errors("comparing an input"):
            try:
                answer = self._connection.s3.get_object(Bucket=bucket, Key=key)
            except ClientError as e:
                if is_missing(e):
                    return None
                raise
            body, digest = answer["Body"], hashlib.sha256()
            try:
                if answer["ContentLength"] != self._file.size:
                    return False
                for block in body.iter_chunks(BLOCK_BYTES):
                    digest.update(block)
            finally:
                body.close()
        return digest.hexdigest() == self._file.sha256
