"""Tells a refusal of one object from a refusal of the whole artifact bucket, with a probe object."""

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
"""How long a result of the probe is cached, seconds: a queue of refused jobs must not double the requests."""


class BucketProbe:
    """Tests whether the artifact bucket can be read or written at all. Thread-safe.

    A wrong policy refuses every object: an outage, which must fail no job. A policy or an encryption key that is wrong
    for one object or one tenant's prefix must not block other jobs. Only a request for an object that belongs to no job
    distinguishes them: see ``keys.probe``.
    """

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._lock = Lock()
        self._works: dict[tuple[str, bool], tuple[bool, float]] = {}

    @contextmanager
    def refusals(self, doing: str, key: str, *, write: bool) -> Iterator[None]:
        """As ``store_errors``; in addition, raises ArtifactRefused for a refusal that concerns ``key`` alone.

        Handle answers with another meaning (404, 412) inside the block.
        """
        with store_errors(doing):
            try:
                yield
            except ClientError as error:
                if meaning(error) in (Answer.OBJECT, Answer.UNCLEAR) and self.works(key, write=write):
                    raise ArtifactRefused(f"{doing}: {key} {in_words(error)}") from error
                raise

    def works(self, key: str, *, write: bool) -> bool:
        """Whether objects with the first segment of ``key`` can be read or written; the result is cached. Raises
        ClientError and other exceptions of boto3 for an outage."""
        probe = keys.probe(key)
        with self._lock:
            works, expires = self._works.get((probe, write), (False, 0.0))
            if time.monotonic() >= expires:
                works = self._writes(probe) if write else self._reads(probe) and self._reports_missing(key)
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
        # Without permission to list, a missing object is answered with 403: write the probe object and read it again.
        with suppress(ClientError):
            self._client.put_object(Bucket=self._bucket, Key=probe, Body=b"{}", ContentType="application/json")
        return self._read(probe)

    def _reports_missing(self, key: str) -> bool:
        """Whether a missing object is answered with 404. Without permission to list the bucket the answer is 403, also
        for every marker that does not exist yet: a wrong set-up."""
        return self._read(keys.never(key))

    def _read(self, key: str) -> bool:
        """Whether the object can be read, or is answered as missing."""
        try:
            self._client.get_object(Bucket=self._bucket, Key=key)["Body"].close()
        except ClientError as error:
            return _allowed(error)
        return True


def _allowed(error: ClientError) -> bool:
    """Whether the error answer shows that the bucket permits access. Raises the error when it is an outage."""
    answer = meaning(error)
    if answer in (Answer.OUTAGE, Answer.BUCKET):
        raise error
    return answer is Answer.MISSING
