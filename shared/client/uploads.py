"""Puts the files of requests into the input bucket. A file that many jobs use is read and sent once.

Every job has an object of its own, under its id: a purge deletes what belongs to the job, and no other job loses a file
by it. The further objects of one file are copies that the object store makes.
"""

import hashlib
import mimetypes
import time
from collections import OrderedDict
from pathlib import Path
from typing import TypeVar

from botocore.exceptions import ClientError

from shared.client.connection import Connection
from shared.client.errors import InputBucketMissing, InvalidRequest, StoreUnreachable
from shared.client.job_key import JobKey
from shared.messages.refs import InputRef
from shared.storage.client import transfer_config
from shared.storage.errors import StoreUnavailable, store_errors
from shared.storage.streams import HashingReader

INPUT_ALIAS = "inputs"
UPLOADED_BY = {"uploaded-by": "lipstage-client"}
"""Object metadata of every upload: a purge deletes no other input."""
POSTED = "posted.uploads"
"""Folder of a tenant's objects that clients have sent by a URL of the gateway, before a request names them. No job id
has a dot: the purge of a job never takes this folder for the job's own. Such an object is deleted with the first job
that used it. It has no metadata of this library: not every object store keeps those of a form."""
MAX_KNOWN = 1024
"""Files whose digest and object are remembered, those that were used last: a batch of any size takes as much memory."""

Key = TypeVar("Key")
Value = TypeVar("Value")
Signature = tuple[str, int, int, int, int]
"""Path, inode, size, and times of the content and of the inode: another content has another one, once it is old."""
SETTLED_S = 3.0
"""Age from which the digest of a file is remembered, seconds. A file system may note times in steps of two seconds: a
younger file may change once more under the same signature."""


def is_posted(key: str) -> bool:
    """Whether an object was posted to a URL of the gateway."""
    parts = key.split("/")
    return len(parts) == 3 and parts[1] == POSTED


class Uploads:
    """The uploads of one client."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._digests: OrderedDict[Signature, str] = OrderedDict()
        self._objects: OrderedDict[str, str] = OrderedDict()
        """The key of an object with that content, by its digest."""

    def reference(self, job: JobKey, path: Path) -> InputRef:
        """Where a file goes: under its job and its digest, so that object keys do not reveal file names.

        Raises InvalidRequest for a file that can't be read.
        """
        try:
            status = path.stat()
            times = status.st_mtime_ns, status.st_ctime_ns
            signature = (str(path), status.st_ino, status.st_size, *times)
            sha256, size = self._digests.get(signature), status.st_size
            if sha256 is None:
                with path.open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                    size = file.tell()
        except OSError as e:  # The file was there when the job spec was made.
            raise InvalidRequest(f"{path} can't be read: {e.strerror or e}") from None
        if size == 0:
            raise InvalidRequest(f"{path} is empty")
        if time.time_ns() - max(times) > SETTLED_S * 1e9:
            _remember(self._digests, signature, sha256)
        return InputRef(bucket=INPUT_ALIAS, key=f"{job.tenant}/{job.job_id}/{sha256}", sha256=sha256, size=size)

    def put(self, path: Path, ref: InputRef) -> None:
        """Make the object of ``ref``: a copy of one that this client has put, else by sending the file.

        Raises InputBucketMissing, InvalidRequest for a file that can't be read or is another one than ``ref``
        describes, StoreUnreachable.
        """
        bucket = self._connection.storage_settings.input_buckets.get(INPUT_ALIAS)
        if bucket is None:
            raise InputBucketMissing(
                f"files are uploaded to the input bucket {INPUT_ALIAS!r}, and none is configured",
                "see LIPSTAGE_INPUT_BUCKETS",
            )
        sha256 = str(ref.sha256)
        source = self._objects.get(sha256)
        is_own = source is not None and source.partition("/")[0] == ref.key.partition("/")[0]
        if source is None or not is_own or not self._copy(bucket, source, ref):
            self._send(bucket, path, ref)
        _remember(self._objects, sha256, ref.key)

    def _copy(self, bucket: str, source: str, ref: InputRef) -> bool:
        """Copy an object with its metadata; False where the object store does not: the source was purged or may not
        be read, or a copy takes longer than an answer may. Sending the file then shows what is the matter."""
        try:
            with store_errors("copying an input"):
                self._connection.s3.copy_object(
                    Bucket=bucket, Key=ref.key, CopySource={"Bucket": bucket, "Key": source}
                )
        except (ClientError, StoreUnavailable):
            return False
        return True

    def _send(self, bucket: str, path: Path, ref: InputRef) -> None:
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        try:
            with HashingReader(path) as body, store_errors(f"uploading {path.name}"):
                self._connection.s3.upload_fileobj(
                    body,
                    bucket,
                    ref.key,
                    ExtraArgs={"ContentType": content_type, "Metadata": UPLOADED_BY},
                    Config=transfer_config(),
                )
                digest = body.digest
        except StoreUnavailable as e:
            answered = isinstance(e.__cause__, ClientError)
            raise StoreUnreachable(str(e), "check AWS_* and LIPSTAGE_INPUT_BUCKETS" if answered else None) from None
        except OSError as e:
            raise InvalidRequest(f"{path} can't be read: {e.strerror or e}") from None
        if digest.sha256 != ref.sha256:
            raise InvalidRequest(f"{path} changed while it was sent", "submit it again when it is complete")


def _remember(known: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > MAX_KNOWN:
        known.popitem(last=False)
