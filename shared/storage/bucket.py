"""Creates missing buckets and sets their lifecycle rules; idempotent."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from shared.storage.answers import reason, status
from shared.storage.artifacts import FRAMES_TAG
from shared.storage.client import DEFAULT_REGION
from shared.storage.errors import store_errors
from shared.storage.keys import DEAD_LETTERS, FRAMES
from shared.storage.retention import lifecycle_rules
from shared.storage.settings import StorageSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.literals import BucketLocationConstraintType
    from mypy_boto3_s3.type_defs import LifecycleRuleTypeDef

OWN_RULES = "lipstage-"
"""Prefix of the ids of lipstage's rules; an operator's other rules are not changed."""
UPLOAD_DAYS = 2
"""Parts of unfinished uploads are deleted after this many days."""


@dataclass(frozen=True, slots=True)
class Ensured:
    """Names of the buckets that were created, and of those whose rules were changed."""

    created: tuple[str, ...]
    rules_changed: tuple[str, ...]


def ensure(client: "S3Client", settings: StorageSettings) -> Ensured:
    """Create the artifact, input and output buckets and set the lifecycle rules of the first two.

    Output buckets get no lifecycle rules: users keep their videos. Raises StoreUnavailable.
    """
    artifact_rules = _artifact_rules(settings)
    input_rules = [_expiry("inputs", settings.retention_inputs_days, prefix=""), _uploads()]
    inputs = sorted(set(settings.input_buckets.values()))
    outputs = sorted(set(settings.output_buckets.values()) - {settings.bucket})
    with store_errors("preparing the buckets"):
        created = tuple(name for name in (settings.bucket, *inputs, *outputs) if _create(client, name))
        changed = [settings.bucket] if _set_rules(client, settings.bucket, artifact_rules) else []
        changed += [name for name in inputs if _set_rules(client, name, input_rules)]
    return Ensured(created, tuple(changed))


def _create(client: "S3Client", name: str) -> bool:
    """Create the bucket; False when it exists."""
    try:
        client.head_bucket(Bucket=name)
        return False
    except ClientError as error:
        if status(error) != 404:
            raise
    try:
        region = client.meta.region_name
        if region == DEFAULT_REGION:
            client.create_bucket(Bucket=name)
        else:
            location: BucketLocationConstraintType = region  # type: ignore[assignment]
            client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": location})
    except ClientError as error:
        # Another service has created it meanwhile.
        if reason(error) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise
        client.head_bucket(Bucket=name)
        return False
    return True


def _artifact_rules(settings: StorageSettings) -> "list[LifecycleRuleTypeDef]":
    key, value = FRAMES_TAG
    return [
        {
            "ID": f"{OWN_RULES}frames",
            "Status": "Enabled",
            "Filter": {"Tag": {"Key": key, "Value": value}},
            "Expiration": {"Days": settings.retention_frames_days},
        },
        # Entries are kept longer than the frames that they name.
        _expiry("frames-index", settings.retention_frames_days + 1, prefix=FRAMES),
        _expiry("jobs", settings.retention_jobs_days, prefix="jobs/"),
        _expiry("cache", settings.retention_cache_days, prefix="cache/"),
        _expiry("dead-letters", settings.retention_dead_letters_days, prefix=DEAD_LETTERS),
        _uploads(),
    ]


def _expiry(name: str, days: int, *, prefix: str) -> "LifecycleRuleTypeDef":
    return {
        "ID": f"{OWN_RULES}{name}",
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "Expiration": {"Days": days},
    }


def _uploads() -> "LifecycleRuleTypeDef":
    return {
        "ID": f"{OWN_RULES}uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UPLOAD_DAYS},
    }


def _set_rules(client: "S3Client", bucket: str, rules: "list[LifecycleRuleTypeDef]") -> bool:
    """Replace lipstage's rules and keep the operator's; False when nothing changes."""
    present = lifecycle_rules(client, bucket)
    own = {rule.get("ID", ""): rule for rule in present if rule.get("ID", "").startswith(OWN_RULES)}
    if own == {rule.get("ID", ""): rule for rule in rules}:
        return False
    kept: list[LifecycleRuleTypeDef] = [
        rule  # type: ignore[misc]
        for rule in present
        if not rule.get("ID", "").startswith(OWN_RULES)
    ]
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": kept + rules})
    return True
