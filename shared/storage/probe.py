"""Tells whether a refusal is about one object of the artifact bucket or about the bucket, by an object of our own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from shared.storage import keys
from shared.storage.answers import Answer, in_words, meaning
from shared.storage.errors import ArtifactRefused, store_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REMEMBERED_S = 5.0
"""How long an answer of the probe holds: a queue of refused jobs must not double the requests."""


class BucketProbe:
    """Whether the artifact bucket lets us read or write at all. Thread-safe.

    A wrong policy refuses every object: an outage, for which no job may be given up. A policy or a key that is wrong
    for one object or one tenant's prefix must not hold up the others. Only asking for an object that is nobody's tells
    these apart. It lies under ``jobs/``, where a right that is bounded by prefix covers it, and no tenant has its name.
    """

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._lock = Lock()
        self._works: dict[bool, tuple[bool, float]] = {}

    @contextmanager
    def refusals(self, doing: str, key: str, *, write: bool) -> Iterator[None]:
        """As ``store_errors``, and ArtifactRefused for a refusal that is about ``key`` alone.

        Handle the answers that mean something else (404, 412) inside the block.
        """
        with store_errors(doing):
            try:
                yield
            except ClientError as error:
                if meaning(error) in (Answer.OBJECT, Answer.UNCLEAR) and self.works(write=write):
                    raise ArtifactRefused(f"{doing}: {key} {in_words(error)}") from error
                raise

    def works(self, *, write: bool) -> bool:
        """Whether the probe object can be read or written; the answer holds for some seconds. Raises ClientError and
        other errors of boto3 for an outage."""
        with self._lock:
            works, until = self._works.get(write, (False, 0.0))
            if time.monotonic() >= until:
                works = self._writes() if write else self._reads()
                self._works[write] = works, time.monotonic() + REMEMBERED_S
            return works

    def _writes(self) -> bool:
        try:
            self._client.put_object(Bucket=self._bucket, Key=keys.PROBE, Body=b"{}", ContentType="application/json")
        except ClientError as error:
            return _allowed(error)
        return True

    def _reads(self) -> bool:
        if self._read():
            return True
        # Who may not list is refused an object that is not there: write it, and ask again.
        with suppress(ClientError):
            self._client.put_object(Bucket=self._bucket, Key=keys.PROBE, Body=b"{}", ContentType="application/json")
        return self._read()

    def _read(self) -> bool:
        try:
            self._client.get_object(Bucket=self._bucket, Key=keys.PROBE)["Body"].close()
        except ClientError as error:
            return _allowed(error)
        return True


def _allowed(error: ClientError) -> bool:
    """Whether the answer, though an error, shows that the bucket lets us in. Raises the error when it is an outage."""
    found = meaning(error)
    if found in (Answer.OUTAGE, Answer.BUCKET):
        raise error
    return found is Answer.MISSING
