"""Small JSON documents: written once for all by whoever comes first, or read with their age."""

import json
import math
from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from hashlib import md5, sha256
from typing import TYPE_CHECKING

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
"""User metadata: hex SHA-256 of the document. Damage on the way that leaves valid JSON is noticed by it."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document as stored: its value, and its age in seconds by the store's own clock, infinite when not given."""

    value: JsonValue
    age_s: float


def encode(value: JsonValue) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8. Raises ValueError for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


class DocumentStore:
    """JSON documents of the artifact bucket. Thread-safe.

    Every method raises StoreUnavailable when the store as a whole fails, ArtifactRefused when it refuses this document.
    """

    def __init__(self, client: "S3Client", settings: StorageSettings, retry: Retry = once) -> None:
        self.retry = retry
        self._client = client
        self._bucket = settings.bucket
        self._probe = BucketProbe(client, settings.bucket)

    @retried
    def put_once(self, key: str, value: JsonValue) -> bool:
        """Write unless there is one (``If-None-Match: *``); False when another was first.

        True also when exactly this document is there already: an earlier PUT of ours whose answer was lost. So let
        every writer's document hold something of its own, as an attempt id, where it matters who won. Raises
        ArtifactAltered when another was first with what is no document.
        """
        body = encode(value)
        with self._probe.refusals("writing a document", key, write=True):
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
                            IfNoneMatch="*",
                        )
            except ClientError as error:
                if status(error) != 412:
                    raise
                document = self._read(key)
                return document is not None and bool(document.value == json.loads(body))
        return True

    @retried
    def put(self, key: str, value: JsonValue) -> None:
        """Write, replacing what is there."""
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
        """The document's value; None when there is none.

        Raises ArtifactAltered when, read several times, it is not JSON, not what its checksum says or over 1 MiB.
        """
        document = self.read(key)
        return None if document is None else document.value

    @retried
    def read(self, key: str) -> Document | None:
        """The document with its age. Raises as ``get``."""
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
        # Documents that earlier versions wrote have no checksum; stores differ in how they write the name.
        stored_sum = {name.lower(): text for name, text in answer.get("Metadata", {}).items()}.get(SUM)
        if stored_sum is not None and stored_sum != sha256(data).hexdigest():
            raise ArtifactAltered(f"{key} is not what was written: its SHA-256 differs")
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ArtifactAltered(f"{key} is not JSON") from error
        now = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return Document(value, _age_s(now, answer.get("LastModified")))


def _md5(body: bytes) -> str:
    """The store compares it before it keeps the document: the one that wins must not be one damaged on its way."""
    return b64encode(md5(body, usedforsecurity=False).digest()).decode()


def _age_s(now: str | None, modified: datetime | None) -> float:
    """Both times come from the store, so that this machine's clock does not matter."""
    try:
        return (
            math.inf
            if now is None or modified is None
            else max(0.0, (parsedate_to_datetime(now) - modified).total_seconds())
        )
    except (TypeError, ValueError):
        return math.inf
