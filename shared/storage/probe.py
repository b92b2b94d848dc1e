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
    these apart: see ``keys.probe``.
    """

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._lock = Lock()
        self._works: dict[tuple[str, bool], tuple[bool, float]] = {}

    @contextmanager
    def refusals(self, doing: str, key: str, *, write: bool) -> Iterator[None]:
        """As ``store_errors``, and ArtifactRefused for a refusal that is about ``key`` alone.

        Handle the answers that mean something else (404, 412) inside the block.
        """
        with store_errors(doing):
            try:
                yield
            except ClientError as error:
                if meaning(error) in (Answer.OBJECT, Answer.UNCLEAR) and self.works(key, write=write):
                    raise ArtifactRefused(f"{doing}: {key} {in_words(error)}") from error
                raise

    def works(self, key: str, *, write: bool) -> bool:
        """Whether objects like that can be read or written; the answer holds for some seconds. Raises ClientError and
        other errors of boto3 for an outage."""
        probe = keys.probe(key)
        with self._lock:
            works, until = self._works.get((probe, write), (False, 0.0))
            if time.monotonic() >= until:
                works = self._writes(probe) if write else self._reads(probe) and self._tells_missing(key)
                self._works[probe, write] = works, time.monotonic() + REMEMBERED_S
            return works

    def _writes(self, probe: str) -> bool:
        try:
            self._client.put_object(Bucket=self._bucket, Key=probe, Body=b"{}", ContentType="application/json")
        except ClientError as error:
            return _allowed(error)
        return True

    def _reads(self, probe: str) -> bool:
        if self._read(probe):
            return True
        # Who may not list is refused an object that is not there: write it, and ask again.
        with suppress(ClientError):
            self._client.put_object(Bucket=self._bucket, Key=probe, Body=b"{}", ContentType="application/json")
        return self._read(probe)

    def _tells_missing(self, key: str) -> bool:
        """Whether a missing object is answered as missing. Who may not list the bucket is refused it instead, and would
        be refused every marker that is not there yet: a fault of the set-up."""
        return self._read(keys.never(key))

    def _read(self, key: str) -> bool:
        """Whether the key's object is there, or answered as missing."""
        try:
            self._client.get_object(Bucket=self._bucket, Key=key)["Body"].close()
        except ClientError as error:
            return _allowed(error)
        return True


def _allowed(error: ClientError) -> bool:
    """Whether the answer, though an error, shows that the bucket lets us in. Raises the error when it is an outage."""
    found = meaning(error)
    if found in (Answer.OUTAGE, Answer.BUCKET):
        raise error
    return found is Answer.MISSING
