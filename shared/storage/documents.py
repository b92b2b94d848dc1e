"""Small JSON documents: written once for all by whoever comes first, or read with their age."""

import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError
from pydantic import JsonValue
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random

from shared.storage.errors import ArtifactAltered, is_conflict, is_missing, status, store_errors
from shared.storage.settings import StorageSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAX_DOCUMENT_BYTES = 1 << 20
JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Document:
    """A document as stored: its value, and its age in seconds by the store's own clock."""

    value: JsonValue
    age_s: float


def encode(value: JsonValue) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8. Raises ValueError for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


class DocumentStore:
    """JSON documents of the artifact bucket. Thread-safe; every method raises StoreUnavailable when the store fails."""

    def __init__(self, client: "S3Client", settings: StorageSettings) -> None:
        self._client = client
        self._bucket = settings.bucket

    def put_once(self, key: str, value: JsonValue) -> bool:
        """Write unless there is one (``If-None-Match: *``); False when another was first.

        True also when exactly this document is there already: an earlier PUT of ours whose answer was lost. So let
        every writer's document hold something of its own, as an attempt id, where it matters who won.
        """
        body = encode(value)
        with store_errors("writing a document"):
            try:
                for attempt in Retrying(
                    retry=retry_if_exception(lambda e: isinstance(e, ClientError) and is_conflict(e)),
                    stop=stop_after_attempt(5),
                    wait=wait_random(0.01, 0.2),
                    reraise=True,
                ):
                    with attempt:
                        self._client.put_object(
                            Bucket=self._bucket, Key=key, Body=body, ContentType=JSON_TYPE, IfNoneMatch="*"
                        )
            except ClientError as error:
                if status(error) != 412:
                    raise
                return self._read(key) == body
        return True

    def put(self, key: str, value: JsonValue) -> None:
        """Write, replacing what is there."""
        with store_errors("writing a document"):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=encode(value), ContentType=JSON_TYPE)

    def get(self, key: str) -> JsonValue | None:
        """The document's value; None when there is none. Raises ArtifactAltered when it is not JSON or over 1 MiB."""
        document = self.read(key)
        return None if document is None else document.value

    def read(self, key: str) -> Document | None:
        """The document with its age. Raises as ``get``."""
        with store_errors("reading a document"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if is_missing(error):
                    return None
                raise
            if answer["ContentLength"] > MAX_DOCUMENT_BYTES:
                answer["Body"].close()
                raise ArtifactAltered(f"{key} has {answer['ContentLength']} bytes, more than {MAX_DOCUMENT_BYTES}")
            data = answer["Body"].read()
        try:
            value = json.loads(data)
        except ValueError as error:
            raise ArtifactAltered(f"{key} is not JSON") from error
        # Both times come from the store, so that this machine's clock does not matter.
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return Document(value, max(0.0, (now - answer["LastModified"]).total_seconds()))

    def _read(self, key: str) -> bytes | None:
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if is_missing(error):
                return None
            raise
