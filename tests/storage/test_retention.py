"""Lifecycle rules that delete what a dead letter still refers to, on the real object store."""

import math
from typing import Any

import pytest

from shared.storage.retention import Retention, lifecycle_rules, too_short, topic_days
from shared.storage.settings import StorageSettings

DEFAULTS = Retention(tasks=14, dead_letters=37, parked=37)
"""What the topics keep by default: 7 and 30 days, and the 7 days of a segment."""


@pytest.fixture
def buckets(client: Any, settings: StorageSettings, monkeypatch: pytest.MonkeyPatch) -> StorageSettings:
    """Buckets of this test alone, without rules."""
    made = StorageSettings(bucket="retention-artifacts", input_buckets={"inputs": "retention-inputs"})
    for name in (made.bucket, *made.input_buckets.values()):
        client.create_bucket(Bucket=name) if name not in names(client) else None
        client.delete_bucket_lifecycle(Bucket=name)
    return made


def names(client: Any) -> set[str]:
    return {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}


def rule(name: str, days: int, prefix: str = "", **changed: Any) -> dict[str, Any]:
    made = {"ID": name, "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": days}}
    return made | changed


def put(client: Any, bucket: str, *rules: dict[str, Any]) -> None:
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)})


def test_default_rules_keep_everything_longer_than_default_topics(client: Any, settings: StorageSettings) -> None:
    assert lifecycle_rules(client, settings.bucket) != []
    assert too_short(client, settings, DEFAULTS) == []
    longer = Retention(tasks=14, dead_letters=60, parked=37)
    jobs = {"artifacts of jobs", "frames of jobs", "the index of frames", "inputs"}
    others = {"cached outputs", "values of dead letters"}
    assert {fault.what for fault in too_short(client, settings, longer)} == jobs | others


def test_bucket_without_rules_keeps_everything(client: Any, buckets: StorageSettings) -> None:
    assert too_short(client, buckets, Retention(math.inf, math.inf, math.inf)) == []


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (rule("mine", 50, "jobs/"), {"artifacts of jobs", "frames of jobs"}),
        (rule("mine", 51, "jobs/"), set()),
        (rule("mine", 1, "jobs/acme/"), {"artifacts of jobs", "frames of jobs"}),
        (rule("mine", 101, "cache/"), {"cached outputs"}),
        (rule("mine", 73, "dead-letters/"), {"values of dead letters"}),
        (rule("mine", 74, "dead-letters/"), set()),
        (rule("mine", 50, "frames/"), {"the index of frames"}),
        (rule("mine", 1, "other/"), set()),
        (rule("mine", 1, "jobs/", Status="Disabled"), set()),
        (rule("mine", 1, Filter={"Tag": {"Key": "lipstage-class", "Value": "frames"}}), {"frames of jobs"}),
        (rule("mine", 1, Filter={"Tag": {"Key": "somebody", "Value": "else"}}), set()),
        (
            rule("mine", 73),
            {"cached outputs", "values of dead letters"},
        ),
    ],
)
def test_rule_that_deletes_too_early_is_found(
    client: Any, buckets: StorageSettings, made: dict[str, Any], expected: set[str]
) -> None:
    put(client, buckets.bucket, made)
    faults = too_short(client, buckets, DEFAULTS)
    assert {fault.what for fault in faults} == expected
    assert {fault.rule for fault in faults} <= {"mine"}


def test_shortest_of_several_rules_counts_and_inputs_have_their_own(client: Any, buckets: StorageSettings) -> None:
    put(client, buckets.bucket, rule("long", 60, "jobs/"), rule("short", 7, "jobs/"))
    put(client, "retention-inputs", rule("in", 50))
    found = {fault.what: (fault.rule, fault.days, fault.needed_days) for fault in too_short(client, buckets, DEFAULTS)}
    assert found["artifacts of jobs"] == ("short", 7, 51)
    assert found["inputs"] == ("in", 50, 51)


def test_topic_keeps_a_record_for_retention_and_segment() -> None:
    day = 24 * 3600 * 1000
    assert topic_days({"retention.ms": str(30 * day), "segment.ms": str(7 * day)}) == 37
    assert topic_days({"retention.ms": "-1", "segment.ms": "1"}) == math.inf
