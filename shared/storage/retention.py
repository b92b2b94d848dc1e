"""Compares how long the buckets keep what dead letters refer to with how long the dead letters themselves are kept.

A dead letter can be replayed as long as its topic keeps it. The replay reads the artifacts, the frames and the inputs
of the job, and the cached outputs that the job uses; they are older than the dead letter by the time that a record can
wait in its topic. The value of a large dead letter is needed as long again when the letter is parked on its last day.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from shared.storage.answers import reason
from shared.storage.artifacts import FRAMES_TAG, JOBS
from shared.storage.keys import DEAD_LETTERS, FRAMES
from shared.storage.settings import StorageSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import LifecycleRuleOutputTypeDef

DAY_MS = 24 * 3600 * 1000
CACHE = "cache/"


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the topics keep a record at most, days; infinite for a topic that keeps records for ever."""

    tasks: float
    dead_letters: float
    parked: float

    @property
    def artifacts_days(self) -> float:
        """How long an object of a job must be kept."""
        return self.tasks + self.dead_letters

    @property
    def values_days(self) -> float:
        """How long the value of a dead letter must be kept."""
        return self.dead_letters + self.parked


@dataclass(frozen=True, slots=True)
class TooShort:
    """A lifecycle rule that deletes objects too early."""

    bucket: str
    what: str
    rule: str
    """Its id."""
    days: float
    needed_days: float
    variable: str
    """The setting that makes lipstage's own rule."""


def topic_days(config: dict[str, str]) -> float:
    """How long a topic with this ``retention.ms`` and ``segment.ms`` keeps a record at most, days.

    A broker deletes whole segments, when the newest record is old enough.
    """
    kept = int(config["retention.ms"])
    return math.inf if kept < 0 else (kept + int(config["segment.ms"])) / DAY_MS


def too_short(client: "S3Client", settings: StorageSettings, retention: Retention) -> list[TooShort]:
    """The rules that delete something too early, lipstage's own and others. Raises ClientError, BotoCoreError."""
    artifacts, values = retention.artifacts_days, retention.values_days
    rules = lifecycle_rules(client, settings.bucket)
    # A cached output is used until half of its retention is over: see `shared.storage.cache`.
    needs = [
        ("artifacts of jobs", JOBS, None, artifacts, "LIPSTAGE_RETENTION_JOBS_DAYS"),
        ("frames of jobs", JOBS, FRAMES_TAG, artifacts, "LIPSTAGE_RETENTION_FRAMES_DAYS"),
        ("the index of frames", FRAMES, None, artifacts, "LIPSTAGE_RETENTION_FRAMES_DAYS"),
        ("cached outputs", CACHE, None, 2 * artifacts, "LIPSTAGE_RETENTION_CACHE_DAYS"),
        ("values of dead letters", DEAD_LETTERS, None, values, "LIPSTAGE_RETENTION_DEAD_LETTERS_DAYS"),
    ]
    found = [
        TooShort(settings.bucket, what, *shortest, needed, variable)
        for what, prefix, tag, needed, variable in needs
        if (shortest := _shortest(rules, prefix, tag)) is not None and shortest[1] < needed
    ]
    for bucket in sorted(set(settings.input_buckets.values())):
        shortest = _shortest(lifecycle_rules(client, bucket), "", None)
        if shortest is not None and shortest[1] < artifacts:
            found.append(TooShort(bucket, "inputs", *shortest, artifacts, "LIPSTAGE_RETENTION_INPUTS_DAYS"))
    return found


def lifecycle_rules(client: "S3Client", bucket: str) -> "list[LifecycleRuleOutputTypeDef]":
    """The rules of a bucket; none when it has no configuration. Raises ClientError, BotoCoreError."""
    try:
        return client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    except ClientError as error:
        if reason(error) == "NoSuchLifecycleConfiguration":
            return []
        raise


def _shortest(
    rules: "Iterable[LifecycleRuleOutputTypeDef]", prefix: str, tag: tuple[str, str] | None
) -> tuple[str, float] | None:
    """Id and days of the rule that first deletes objects under ``prefix``, those with ``tag`` if one is given; None
    when no rule does."""
    found: list[tuple[float, str]] = []
    for rule in rules:
        expiry = rule.get("Expiration", {})
        if rule["Status"] != "Enabled" or not {"Days", "Date"} & expiry.keys():
            continue
        selected, tags = _selection(rule)
        overlaps = selected.startswith(prefix) or prefix.startswith(selected)
        if overlaps and tags <= ({tag} if tag is not None else set()):
            # From its date on, such a rule deletes objects of any age.
            found.append((float(expiry["Days"]) if "Days" in expiry else 0.0, rule.get("ID", "")))
    return (min(found)[1], min(found)[0]) if found else None


def _selection(rule: "LifecycleRuleOutputTypeDef") -> tuple[str, set[tuple[str, str]]]:
    """The prefix and the tags of the objects that a rule concerns."""
    given = rule.get("Filter", {})
    both = given.get("And", {})
    tags = [*both.get("Tags", ()), *([given["Tag"]] if "Tag" in given else ())]
    prefix = given.get("Prefix") or both.get("Prefix") or rule.get("Prefix") or ""
    return prefix, {(tag["Key"], tag["Value"]) for tag in tags}
