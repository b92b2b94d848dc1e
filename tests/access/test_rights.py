"""The table of rights: it fits what the stages declare, covers every key, and gives nobody another stage's."""

import importlib
import inspect
import itertools
import json

import pytest

from shared.access import iam, kafka_acls, seaweedfs
from shared.access.names import CLIENT, OPERATOR, Names
from shared.access.rights import READS, all_rights
from shared.messages.pipeline import GATEWAY, PIPELINE, STAGES, WEBHOOKS
from shared.storage import keys
from shared.storage.settings import StorageSettings
from tests.access.policies import allows
from tests.tenancy.page import table

NAMES = Names(output_buckets=("videos",))
POLICIES = iam.policies(all_rights(NAMES), NAMES)
ENDS_JOBS = {*STAGES, "relay", CLIENT, GATEWAY}
JOB = ("acme", "job1")
PREFIXES = {"tenant_prefix", "job_prefix", "attempt_prefix", "stage_prefix", "frames_prefix", "checkpoint_prefix",
            "preview_prefix", "cache_prefix", "cache_folder", "output_folder", "erasures_prefix",
            "cache_index_of_tenant", "cache_index_of_job", "quotas_prefix", "webhooks_prefix"}  # fmt: skip
"""Prefixes of keys that are below."""
CHECKS = {
    "is_dead_letter_body",
    "cache_entry_of",
    "is_cached_of",
    "checked_for",
    "checked_key",
    "within",
    "probe",
    "never",
}
"""Functions that make no key of their own."""


def writers(key: str, bucket: str = NAMES.bucket) -> set[str]:
    found = {name for name, policy in POLICIES.items() if allows(policy, "s3:PutObject", bucket, key)}
    return found - {OPERATOR}


def test_every_key_has_its_writers() -> None:
    """A new kind of key must be added here, and to the table of rights."""
    expected = {
        "request": (keys.request(*JOB), {"audio", CLIENT, GATEWAY}),
        "end": (keys.end(*JOB), ENDS_JOBS),
        "marker": (keys.marker(*JOB, "face"), {"face"}),
        "frames_entry": (keys.frames_entry(*JOB, "infer", "a1"), {"infer"}),
        "checkpoint_record": (keys.checkpoint_record(*JOB, "infer"), {"infer"}),
        "dead_letter_body": (keys.dead_letter_body("render.face", 1, 2, "0" * 64), ENDS_JOBS - {CLIENT, GATEWAY}),
        "cache_entry": (keys.cache_entry("acme", "audio", "d1"), {"audio"}),
        "cache_index_entry": (keys.cache_index_entry(*JOB, "audio", "d1", "a1"), {"audio", GATEWAY}),
        "erased": (keys.erased(*JOB), {GATEWAY}),
        "erasure": (keys.erasure("acme", "r1"), {GATEWAY}),
        "hour_usage": (keys.hour_usage("acme", "2026-01-01T00"), {*STAGES}),
        "jobs_in_flight": (keys.jobs_in_flight("acme"), {*STAGES}),
        "webhook_endpoints": (keys.webhook_endpoints("acme"), {GATEWAY, WEBHOOKS}),
        "output": (keys.output("acme", "acme/films", "job1", "video.mp4"), {"encode"}),
    }
    functions = {name for name, one in inspect.getmembers(keys, inspect.isfunction) if not name.startswith("_")}
    assert functions - PREFIXES - CHECKS == expected.keys()
    for name, (key, wanted) in expected.items():
        bucket = "videos" if name == "output" else NAMES.bucket
        assert (name, writers(key, bucket)) == (name, wanted)


@pytest.mark.parametrize(("stage", "other"), list(itertools.permutations(STAGES, 2)))
def test_stage_writes_nothing_of_another(stage: str, other: str) -> None:
    jobs = [("acme", name) for name in ("job1", stage, other, "_probe", "_jobs")]
    for key in (
        keys.cache_entry("acme", other, "d1"),
        keys.cache_prefix("acme", other, "d1", "a1") + "x.npy",
        *(keys.attempt_prefix(*job, other, "a1") + "x.npy" for job in jobs),
        *(keys.marker(*job, other) for job in jobs),
        *(keys.cache_index_entry(*job, other, "d1", "a1") for job in jobs),
        *(keys.checkpoint_record(*job, other) for job in jobs),
    ):
        assert not allows(POLICIES[stage], "s3:PutObject", NAMES.bucket, key), key


def test_a_job_with_the_id_of_the_probe_gives_nobody_a_right() -> None:
    assert writers(keys.request("acme", "_probe")) == {"audio", CLIENT, GATEWAY}
    assert writers(keys.probe(keys.request(*JOB))) >= {*STAGES, "relay"}


def test_the_janitor_erases_old_versions_too() -> None:
    for bucket, key in ((NAMES.bucket, keys.marker(*JOB, "face")), ("videos", "acme/films/job1/video.mp4")):
        assert allows(POLICIES["encode"], "s3:GetBucketVersioning", bucket)
        assert allows(POLICIES["encode"], "s3:ListBucketVersions", bucket)
        assert allows(POLICIES["encode"], "s3:DeleteObjectVersion", bucket, key)


@pytest.mark.parametrize("step", PIPELINE, ids=lambda step: step.name)
def test_stage_reads_what_its_specification_names(step: object) -> None:
    module = importlib.import_module(step.module)  # type: ignore[attr-defined]
    spec = module.STAGE if hasattr(module, "STAGE") else module.stage_of("puppet")
    sources = {source.partition("/")[0] for source in (*spec.inputs.values(), *spec.streams.values())}
    assert set(READS[spec.name]) == {source for source in sources if not source.startswith("request.")}
    reads_inputs = any(source.startswith("request.") for source in sources)
    assert allows(POLICIES[spec.name], "s3:GetObject", "lipstage-inputs", "acme/me.jpg") == reads_inputs


def test_only_janitor_and_purge_delete_markers() -> None:
    deleters = {name for name, policy in POLICIES.items() for stage in STAGES
                if allows(policy, "s3:DeleteObject", NAMES.bucket, keys.marker(*JOB, stage))}  # fmt: skip
    assert deleters == {OPERATOR, "encode", GATEWAY}, "encode runs the janitor, the gateway purges"


def test_gateway_submits_and_purges_for_every_tenant_and_renders_nothing() -> None:
    policy = POLICIES[GATEWAY]
    for bucket, key in (("lipstage-inputs", "acme/job1/x"), ("videos", "acme/films/job1/video.mp4"),
                        (NAMES.bucket, keys.frames_entry(*JOB, "infer", "a1"))):  # fmt: skip
        assert allows(policy, "s3:DeleteObjectVersion", bucket, key)
        assert allows(policy, "s3:PutObject", bucket, key) is (bucket == "lipstage-inputs")
    for stage in STAGES:
        for key in (keys.marker(*JOB, stage), keys.attempt_prefix(*JOB, stage, "a1") + "video.mp4",
                    keys.cache_entry("acme", stage, "d1")):  # fmt: skip
            assert allows(policy, "s3:GetObject", NAMES.bucket, key)
            assert not allows(policy, "s3:PutObject", NAMES.bucket, key)
    assert not allows(policy, "s3:PutBucketLifecycleConfiguration", NAMES.bucket)


def test_client_of_a_tenant_uses_the_objects_of_no_other() -> None:
    policy = iam.policy(all_rights(NAMES, "acme")[CLIENT], NAMES)
    for tenant, expected in (("acme", True), ("acme2", False), ("other", False)):
        video = keys.attempt_prefix(tenant, "job1", "encode", "a1") + "video.mp4"
        assert allows(policy, "s3:GetObject", NAMES.bucket, video) is expected
        assert allows(policy, "s3:PutObject", "lipstage-inputs", f"{tenant}/me.jpg") is expected
    assert not allows(policy, "s3:ListBucket", NAMES.bucket)


def test_client_of_a_tenant_with_topics_has_the_rules_of_the_page_and_nothing_on_shared_topics() -> None:
    own, every = (all_rights(Names(tenancy="topic"), tenant)[CLIENT] for tenant in ("acme", "*"))
    expected = {(row["topic"], row["operation"].title(), row["pattern"].lower())
                for row in table("rights") if row["principal"] == "acme"}  # fmt: skip
    rules = [acl for acl in kafka_acls.acls(own) if acl.resource == "topic"]
    assert {(acl.name, acl.operation, acl.pattern) for acl in rules} == expected
    assert {acl.principal for acl in rules} == {"User:lipstage-client-acme"}, "two tenants are two principals"
    topics = [acl for acl in kafka_acls.acls(every) if acl.resource == "topic"]
    assert {acl.pattern for acl in topics} == {"prefixed"}
    assert {acl.name for acl in topics} == {"render.requests.", "render.cancel.", "render.events."}


def test_policies_fit_the_limit_of_managed_ones() -> None:
    many = Names(input_buckets=("inputs-one", "inputs-two"), output_buckets=("videos-one", "videos-two"))
    for policy in iam.policies(all_rights(many), many).values():
        assert len(json.dumps(policy, separators=(",", ":"))) <= 6144


def test_seaweedfs_takes_keys_from_its_environment_where_none_are_given() -> None:
    document = seaweedfs.configuration(all_rights(NAMES), NAMES)
    found = {one["name"]: one["credentials"][0]["accessKey"] for one in document["identities"]}
    assert found["lipstage-audio"] == "${LIPSTAGE_AUDIO_ACCESS_KEY}"
    assert {one["name"] for one in document["policies"]} == found.keys() - {"lipstage-operator"}


def test_lines_for_kafka_and_objects_for_strimzi_have_the_same_rules() -> None:
    for rights in all_rights(NAMES).values():
        rules = kafka_acls.strimzi_user(rights, "events")["spec"]["authorization"]["acls"]
        assert len(rules) == len(kafka_acls.commands(rights)) == len(rights.kafka)
        assert sum(len(rule["operations"]) for rule in rules) == len(kafka_acls.acls(rights))


def test_names_follow_prefix_and_engines() -> None:
    names = Names(topic_prefix="staging.", engines=("puppet", "sonic"))
    lines = "\n".join(kafka_acls.commands(all_rights(names)["infer"]))
    assert "--operation Read --topic staging.render.infer.sonic.bulk" in lines
    assert "--operation Read --group staging.lipstage.infer.sonic" in lines
    assert "--topic staging.render.retry. --resource-pattern-type prefixed" in lines


def test_default_names_are_those_of_the_settings() -> None:
    storage = StorageSettings()
    assert (NAMES.bucket, NAMES.input_buckets) == (storage.bucket, tuple(storage.input_buckets.values()))
