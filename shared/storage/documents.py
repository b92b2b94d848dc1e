"""Small JSON documents: written once by the first writer, or replaced, and read with their age."""

import json
import math
from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from hashlib import md5, sha256
from typing import TYPE_CHECKING, TypedDict

from botocore.exceptions import ClientError
from pydantic import JsonValue
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random

from shared.storage.answers import status
from shared.storage.errors import ArtifactAltered, is_conflict, is_missing
from shared.storage.probe import BucketProbe
from shared.storage.rereading import reread
from shared.storage.retry import Retry, once, retried
from shared.storage.settings import StorageSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAX_DOCUMENT_BYTES = 1 << 20
JSON_TYPE = "application/json"
SUM = "sha256"
"""User metadata: hex SHA-256 of the document. It detects damage in transit that leaves valid JSON."""


class _Condition(TypedDict, total=False):
    """The condition of a PUT: one of both."""

    IfNoneMatch: str
    IfMatch: str


@dataclass(frozen=True, slots=True)
class Document:
    """A stored document: its value, and its age in seconds by the object store's clock, infinite when unknown."""

    value: JsonValue
    age_s: float
    etag: str = ""
    """The object store's tag of this very content, for a conditional write."""


def encode(value: JsonValue) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8. Raises ValueError for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


class DocumentStore:
    """JSON documents of the artifact bucket. Thread-safe.

    Every method raises StoreUnavailable when the object store fails, ArtifactRefused when it refuses this document.
    """

    def __init__(self, client: "S3Client", settings: StorageSettings, retry: Retry = once) -> None:
        self.retry = retry
        self._client = client
        self._bucket = settings.bucket
        self._probe = BucketProbe(client, settings.bucket)

    @retried
    def put_once(self, key: str, value: JsonValue) -> bool:
        """Write the document unless the key exists (``If-None-Match: *``); False when another writer was first.

        True also when exactly this document exists already, as after an earlier PUT whose answer was lost. Where it
        matters which writer won, each one's document must hold something unique, as an attempt id. Raises
        ArtifactAltered when the existing object is no document.
        """
        body = encode(value)
        with self._probe.refusals("writing a document", key, write=True):
            if self._put_if(key, body, {"IfNoneMatch": "*"}):
                return True
            document = self._read(key)
            return document is not None and bool(document.value == json.loads(body))

    @retried
    def replace(self, key: str, expected: JsonValue, value: JsonValue) -> bool:
        """Write the document if its value is still ``expected`` (``If-Match``); False when it has another value, or
        does not exist.

        True also when exactly ``value`` is there, as after an earlier PUT whose answer was lost. Raises
        ArtifactAltered when the existing object is no document.
        """
        body = encode(value)
        with self._probe.refusals("writing a document", key, write=True):
            document = self._read(key)
            if document is None:
                return False
            if document.value == expected and self._put_if(key, body, {"IfMatch": document.etag}):
                return True
            document = self._read(key)
            return document is not None and bool(document.value == json.loads(body))

    def _put_if(self, key: str, body: bytes, condition: "_Condition") -> bool:
        """PUT under a condition; False when it does not hold."""
        try:
            for attempt in Retrying(
                retry=retry_if_exception(lambda e: isinstance(e, ClientError) and is_conflict(e)),
                stop=stop_after_attempt(5),
                wait=wait_random(0.01, 0.2),
                reraise=True,
            ):
                with attempt:
                    self._client.put_object(
                        Bucket=self._bucket,
                        Key=key,
                        Body=body,
                        ContentType=JSON_TYPE,
                        Metadata={SUM: sha256(body).hexdigest()},
                        ContentMD5=_md5(body),
                        **condition,
                    )
        except ClientError as error:
            # 404: the document was deleted since it was read, as some object stores answer an If-Match.
            if status(error) == 412 or ("IfMatch" in condition and is_missing(error)):
                return False
            raise
        return True

    @retried
    def put(self, key: str, value: JsonValue) -> None:
        """Write the document, replacing an existing one."""
        body = encode(value)
        with self._probe.refusals("writing a document", key, write=True):
            self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,
                ContentType=JSON_TYPE,
                Metadata={SUM: sha256(body).hexdigest()},
                ContentMD5=_md5(body),
            )

    def get(self, key: str) -> JsonValue | None:
        """The document's value; None when it does not exist.

        Raises ArtifactAltered when it is larger than 1 MiB, or when after several reads it is not JSON or does not
        match its checksum.
        """
        document = self.read(key)
        return None if document is None else document.value

    @retried
    def read(self, key: str) -> Document | None:
        """The document with its age; None when it does not exist. Raises as ``get`` does."""
        return self._read(key)

    def _read(self, key: str) -> Document | None:
        return reread(lambda: self._read_once(key), ArtifactAltered)

    def _read_once(self, key: str) -> Document | None:
        with self._probe.refusals("reading a document", key, write=False):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if is_missing(error):
                    return None
                raise
            if answer.get("ContentLength", 0) > MAX_DOCUMENT_BYTES:
                answer["Body"].close()
                raise ArtifactAltered(f"{key} has {answer['ContentLength']} bytes, more than {MAX_DOCUMENT_BYTES}")
            data = answer["Body"].read()
        # Documents of earlier versions have no checksum; object stores differ in the case of the name.
        stored_sum = {name.lower(): text for name, text in answer.get("Metadata", {}).items()}.get(SUM)
        if stored_sum is not None and stored_sum != sha256(data).hexdigest():
            raise ArtifactAltered(f"{key} is altered: its SHA-256 differs")
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ArtifactAltered(f"{key} is not JSON") from error
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return Document(value, _age_s(date, answer.get("LastModified")), answer.get("ETag", ""))


def _md5(body: bytes) -> str:
    """Content-MD5, which the object store checks before it stores the document: a document damaged in transit must not
    win."""
    return b64encode(md5(body, usedforsecurity=False).digest()).decode()


def _age_s(date: str | None, modified: datetime | None) -> float:
    """Age in seconds. Both times come from the object store, so that this machine's clock does not matter."""
    try:
        return (
            math.inf
            if date is None or modified is None
            else max(0.0, (parsedate_to_datetime(date) - modified).total_seconds())
        )
    except (TypeError, ValueError):
        return math.inf
