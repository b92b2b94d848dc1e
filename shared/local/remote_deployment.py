"""A deployment that runs elsewhere and that the environment names: `doctor` checks it, as from a pod of a cluster."""

import os
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from shared.local.deployment import OBJECT_STORE
from shared.local.machine import Check
from shared.local.stack_file import Stack
from shared.storage import keys
from shared.storage.answers import status
from shared.storage.artifacts import JOBS
from shared.storage.client import connect
from shared.storage.probe import BucketProbe
from shared.storage.settings import StorageSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

APPLY = "lipstage buckets apply"
CLOCK_S = 60
"""Difference from the object store's clock that is reported; stores refuse signatures that are 15 minutes off."""


def is_remote(named: Stack) -> bool:
    """Whether broker and object store run elsewhere, so that this machine needs no part of a local stack.

    ``named`` has the addresses of the environment, and no part of it runs here.
    """
    return named.own_broker and not named.running and (named.own_store or is_amazon(named))


def is_amazon(named: Stack) -> bool:
    """Whether the environment names buckets and no endpoint: boto3 then finds Amazon S3."""
    return named.own_broker and not named.own_store and any(os.environ.get(name) for name in OBJECT_STORE)


def bucket_checks() -> list[Check]:
    """Whether the services' buckets can be used: the artifact bucket read and written, inputs read, outputs there.

    The object store is known to answer.
    """
    settings = StorageSettings()
    client = connect(settings, attempts=2)
    try:
        found = [*_artifacts(client, settings), *_inputs(client, settings), *_outputs(client, settings)]
        found += _clock(client, settings.bucket)
    except (BotoCoreError, ClientError) as error:
        return [Check("buckets", "fail", str(error), "check AWS_* and the policies of the buckets")]
    if any(check.level != "ok" for check in found):
        return found
    names = sorted({settings.bucket, *settings.input_buckets.values(), *settings.output_buckets.values()})
    return [Check("buckets", "ok", f"{', '.join(names)} can be used")]


def _artifacts(client: "S3Client", settings: StorageSettings) -> list[Check]:
    probe = BucketProbe(client, settings.bucket)
    rights = "allow GetObject, PutObject, DeleteObject and ListBucket"
    return [
        Check("buckets", "fail", f"{settings.bucket}: objects can't be {what}", rights)
        for what, write in (("written", True), ("read", False))
        if not probe.works(JOBS, write=write)
    ]


def _inputs(client: "S3Client", settings: StorageSettings) -> list[Check]:
    found = []
    for name in sorted(set(settings.input_buckets.values())):
        try:
            client.get_object(Bucket=name, Key=keys.never("default/"))["Body"].close()
        except ClientError as error:
            if _is_missing_bucket(client, name):
                found.append(Check("buckets", "fail", f"there is no input bucket {name}", APPLY))
            elif status(error) != 404:
                result = f"{name}: a missing input is answered with {status(error)}, not with 404"
                found.append(Check("buckets", "fail", result, "allow GetObject and ListBucket"))
    return found


def _outputs(client: "S3Client", settings: StorageSettings) -> list[Check]:
    return [
        Check("buckets", "fail", f"there is no output bucket {name}", APPLY)
        for name in sorted(set(settings.output_buckets.values()))
        if _is_missing_bucket(client, name)
    ]


def _is_missing_bucket(client: "S3Client", name: str) -> bool:
    """Whether the bucket does not exist; False for one that these credentials may not look at."""
    try:
        client.head_bucket(Bucket=name)
    except ClientError as error:
        return status(error) == 404
    return False


def _clock(client: "S3Client", bucket: str) -> list[Check]:
    answer = client.head_bucket(Bucket=bucket)["ResponseMetadata"]
    date = answer.get("HTTPHeaders", {}).get("date")
    if date is None:
        return []
    theirs = parsedate_to_datetime(date)
    apart = abs((datetime.now(UTC) - theirs).total_seconds())
    if apart <= CLOCK_S:
        return []
    return [Check("clock", "warn", f"{apart:.0f} s apart from the object store's", "synchronise this machine's clock")]
