"""Creates missing buckets and sets their lifecycle rules; idempotent."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from shared.storage.answers import reason, status
from shared.storage.artifacts import CHECKPOINTS_TAG, FRAMES_TAG
from shared.storage.client import DEFAULT_REGION
from shared.storage.errors import StoreUnavailable, store_errors
from shared.storage.keys import DEAD_LETTERS, ERASED, ERASURES, FRAMES, QUOTAS
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


class BucketRefused(StoreUnavailable):
    """The object store answers, and refuses what one bucket needs: an operator must change its owner or the rights."""


@dataclass(frozen=True, slots=True)
class Ensured:
    """Names of the buckets that were created, and of those whose rules were changed."""

    created: tuple[str, ...]
    rules_changed: tuple[str, ...]


def ensure(client: "S3Client", settings: StorageSettings) -> Ensured:
    """Create the artifact, input and output buckets and set the lifecycle rules of the first two.

    Output buckets get no lifecycle rules: users keep their videos. One that answers HEAD with 403 counts as existing:
    services need the right to write to it alone. Raises StoreUnavailable; BucketRefused for another bucket that may not
    be used, and for credentials that may not create buckets or change their rules.
    """
    artifact_rules = _artifact_rules(settings)
    input_rules = [_expiry("inputs", settings.retention_inputs_days, prefix=""), _uploads()]
    inputs = sorted(set(settings.input_buckets.values()))
    outputs = sorted(set(settings.output_buckets.values()) - {settings.bucket})
    created: list[str] = []
    changed: list[str] = []
    with store_errors("preparing the buckets"):
        # The artifact bucket is ready before any other is looked at, which may have another owner.
        for name, rules in ((settings.bucket, artifact_rules), *((name, input_rules) for name in inputs)):
            created += [name] if _create(client, name) else []
            changed += [name] if _set_rules(client, name, rules) else []
        created += [name for name in outputs if _create(client, name, may_be_closed=True)]
    return Ensured(tuple(created), tuple(changed))


def _create(client: "S3Client", name: str, *, may_be_closed: bool = False) -> bool:
    """Create the bucket; False when it exists. See `_exists` for ``may_be_closed``."""
    if _exists(client, name, may_be_closed=may_be_closed):
        return False
    try:
        region = client.meta.region_name
        if region == DEFAULT_REGION:
            client.create_bucket(Bucket=name)
        else:
            location: BucketLocationConstraintType = region  # type: ignore[assignment]
            client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": location})
    except ClientError as error:
        # Another service has created it meanwhile, or it has another owner, which the next request shows.
        if reason(error) in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            _exists(client, name, may_be_closed=may_be_closed)
            return False
        if status(error) == 403:
            raise BucketRefused(
                f"the bucket {name} does not exist, and these credentials may not create it: {reason(error)}"
            ) from error
        raise
    return True


def _exists(client: "S3Client", name: str, *, may_be_closed: bool) -> bool:
    """Whether the bucket exists and is usable. ``may_be_closed``: one whose state these credentials may not read
    counts. Raises BucketRefused for one that is not usable."""
    try:
        client.head_bucket(Bucket=name)
    except ClientError as error:
        if status(error) == 404:
            return False
        if status(error) == 403:
            if may_be_closed:
                return True
            raise BucketRefused(
                f"the bucket {name} may not be used: it belongs to another owner, or the credentials lack rights on it"
            ) from error
        if status(error) == 301:
            raise BucketRefused(f"the bucket {name} is in another region: set AWS_REGION") from error
        raise
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
        {
            "ID": f"{OWN_RULES}checkpoints",
            "Status": "Enabled",
            "Filter": {"Tag": {"Key": CHECKPOINTS_TAG[0], "Value": CHECKPOINTS_TAG[1]}},
            "Expiration": {"Days": settings.retention_checkpoints_days},
        },
        # Entries are kept longer than the frames that they name.
        _expiry("frames-index", settings.retention_frames_days + 1, prefix=FRAMES),
        _expiry("jobs", settings.retention_jobs_days, prefix="jobs/"),
        _expiry("cache", settings.retention_cache_days, prefix="cache/"),
        _expiry("dead-letters", settings.retention_dead_letters_days, prefix=DEAD_LETTERS),
        # The hour's usage is needed for an hour; the jobs in flight are written again with every job.
        _expiry("quotas", settings.retention_jobs_days, prefix=QUOTAS),
        # The janitor deletes these entries; where none runs, they go with what they name.
        _expiry("erased", settings.retention_jobs_days, prefix=ERASED),
        _expiry("erasures", settings.retention_erasures_days, prefix=ERASURES),
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
    """Replace lipstage's rules and keep the operator's; False when nothing changes. Raises BucketRefused."""
    try:
        return _changed_rules(client, bucket, rules)
    except ClientError as error:
        if status(error) != 403:
            raise
        raise BucketRefused(
            f"the lifecycle rules of the bucket {bucket} may not be read or set with these credentials: {reason(error)}"
        ) from error


def _changed_rules(client: "S3Client", bucket: str, rules: "list[LifecycleRuleTypeDef]") -> bool:
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
