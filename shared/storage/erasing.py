"""Deletes objects for good: in a bucket with versioning also their old versions, and the delete markers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from shared.storage.answers import Answer, classify, in_words, meaning, reason, status
from shared.storage.errors import ArtifactRefused, StoreUnavailable, store_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

BATCH = 1000
"""Keys per DeleteObjects call, S3's limit."""
Wanted = Callable[[str], bool]
"""Whether the object with this key is to be deleted."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What was deleted."""

    objects: dict[str, int] = field(default_factory=dict)
    """Their sizes in bytes, by key."""
    versions: int = 0
    """Old versions and delete markers of a bucket with versioning."""


class Eraser:
    """Deletes from any bucket of a deployment. Every method raises StoreUnavailable, and ArtifactRefused where the
    object store refuses a deletion."""

    def __init__(self, client: "S3Client") -> None:
        self._client = client
        self._versioned: dict[str, bool] = {}
        self.unchecked: set[str] = set()
        """Buckets whose versioning these credentials may not read: old versions may stay there."""

    def erase(self, bucket: str, prefix: str, wanted: Wanted | None = None) -> Erased:
        """Delete the objects under ``prefix``, those that are ``wanted`` where that is given, with all versions."""
        objects = {key: size for key, size in self.listed(bucket, prefix) if wanted is None or wanted(key)}
        if not self._is_versioned(bucket):
            self._delete(bucket, [{"Key": key} for key in objects])
            return Erased(objects)
        versions = [one for one, _ in self._versions(bucket, prefix) if wanted is None or wanted(one["Key"])]
        self._delete(bucket, versions)
        return Erased(objects, len(versions) - len(objects))

    def erase_key(self, bucket: str, key: str) -> Erased:
        """Delete one object with all its versions; one that is not there is nothing."""
        return self.erase(bucket, key, key.__eq__)

    def erase_old_versions(self, bucket: str, prefix: str) -> int:
        """Delete what the objects under ``prefix`` were before they were replaced; returns how many versions."""
        if not self._is_versioned(bucket):
            return 0
        old = [version for version, is_latest in self._versions(bucket, prefix) if not is_latest]
        self._delete(bucket, old)
        return len(old)

    def _is_versioned(self, bucket: str) -> bool:
        if bucket not in self._versioned:
            self._versioned[bucket] = self._ask(bucket)
        return self._versioned[bucket]

    def _ask(self, bucket: str) -> bool:
        with store_errors("reading a bucket's versioning"):
            try:
                # Suspended: no new versions are made, and the old ones stay.
                return self._client.get_bucket_versioning(Bucket=bucket).get("Status") in ("Enabled", "Suspended")
            except ClientError as error:
                if status(error) == 403:
                    self.unchecked.add(bucket)
                elif status(error) not in (405, 501):  # An object store without versioning.
                    raise
                return False

    def listed(self, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
        """Key and size of the objects under a prefix."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        with store_errors("listing what is to be deleted"):
            try:
                for page in pages:
                    for entry in page.get("Contents", []):
                        yield entry["Key"], entry["Size"]
            except ClientError as error:
                _raise_if_refused(error, f"listing the bucket {bucket}")
                raise

    def _versions(self, bucket: str, prefix: str) -> "Iterator[tuple[ObjectIdentifierTypeDef, bool]]":
        """Every version and delete marker under a prefix, and whether it is the current one."""
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
        with store_errors("listing versions"):
            for page in pages:
                for entry in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                    yield {"Key": entry["Key"], "VersionId": entry["VersionId"]}, entry["IsLatest"]

    def _delete(self, bucket: str, objects: "list[ObjectIdentifierTypeDef]") -> None:
        for start in range(0, len(objects), BATCH):
            batch = objects[start : start + BATCH]
            with store_errors("deleting objects"):
                try:
                    answer = self._client.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
                except ClientError as error:
                    _raise_if_refused(error, f"deleting from the bucket {bucket}")
                    raise
            if failed := answer.get("Errors"):
                message = f"deleting objects: {len(failed)} of {len(batch)} were refused"
                if any(classify(400, str(entry.get("Code", ""))) is Answer.OUTAGE for entry in failed):
                    raise StoreUnavailable(message)
                raise ArtifactRefused(f"{message}: {failed[0].get('Code', 'no reason')}")


def _raise_if_refused(error: ClientError, doing: str) -> None:
    if meaning(error) in (Answer.OBJECT, Answer.UNCLEAR, Answer.BUCKET):
        raise ArtifactRefused(f"{doing}: {in_words(error)} ({reason(error)})") from error
