"""Values: good ones pass a strict lint, those that the schema refuses are named."""

import json
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.helm.cases import CASES, stage, values, with_defaults
from tests.helm.chart import CHART, Failed, lint, render

SCHEMA = json.loads((CHART / "values.schema.json").read_text())


@pytest.mark.parametrize("case", CASES)
def test_strict_lint_has_nothing_to_say(case: str) -> None:
    assert lint(values(case)) == []


def test_strict_lint_finds_a_wrong_value() -> None:
    assert lint(with_defaults(defaults={"replicas": "one"}))


@pytest.mark.parametrize(
    ("where", "bad"),
    [
        ("/", {"stage": {}}),
        ("/", {"stages": None}),
        ("/defaults", {"defaults": {"gpu": None}}),
        ("/s3/caSecret", {"s3": {"caSecret": {"key": None}}}),
        ("/defaults/confinement", {"defaults": {"confinement": "no"}}),
        ("/stages/face/confinement", {"stages": {"face": {"confinement": False}}}),
        ("/quotas", {"quotas": {"acme": {"jobs_in_flight": 5}}}),
        ("/quotas/default/jobs_in_flight", {"quotas": {"default": {"jobs_in_flight": 5001}}}),
        ("/quotas/tenants", {"quotas": {"tenants": {"ACME": {}}}}),
        ("/quotas/tenants/acme", {"quotas": {"tenants": {"acme": {"jobs": 5}}}}),
        ("/kafka", {"kafka": {"bootstrap": "kafka:9092"}}),
        ("/kafka/bootstrapServers", {"kafka": {"bootstrapServers": "kafka"}}),
        ("/kafka/bootstrapServers", {"kafka": {"bootstrapServers": "http://kafka:9092"}}),
        ("/kafka/protocol", {"kafka": {"protocol": "TLS"}}),
        ("/kafka/sasl/mechanism", {"kafka": {"sasl": {"mechanism": "GSSAPI"}}}),
        ("/kafka/workPartitions", {"kafka": {"workPartitions": 0}}),
        ("/kafka/topicPrefix", {"kafka": {"topicPrefix": "a/b"}}),
        ("/kafka/retryTiers/0", {"kafka": {"retryTiers": ["soon"]}}),
        ("/s3/bucket", {"s3": {"bucket": "My_Bucket"}}),
        ("/s3/endpointUrl", {"s3": {"endpointUrl": "http://user:password@store"}}),
        ("/s3/inputBuckets", {"s3": {"inputBuckets": {"inputs": None}}}),
        ("/image/tag", {"image": {"tag": "latest"}}),
        ("/image/tag", {"image": {"tag": 1.0}}),
        ("/defaults/replicas", {"defaults": {"replicas": -1}}),
        ("/defaults/autoscaling/mode", {"defaults": {"autoscaling": {"mode": "on"}}}),
        ("/defaults/extraEnv/0/value", {"defaults": {"extraEnv": [{"name": "X", "value": 3}]}}),
        ("/stages/audio/slots", {"stages": {"audio": {"slots": "2"}}}),
        ("/stages/audio/scratch/sizeLimit", {"stages": {"audio": {"scratch": {"sizeLimit": "4 GB"}}}}),
        ("/stages/infer/puppet", {"stages": {"infer": {"puppet": {"gpus": 1}}}}),
        ("/stages/infer/sonic/weights/source", {"stages": {"infer": {"sonic": {"weights": {"source": "web"}}}}}),
        ("/stages/face/probes/liveness/path", {"stages": {"face": {"probes": {"liveness": {"path": "/"}}}}}),
        ("/telemetry/sampleRatio", {"telemetry": {"sampleRatio": 2}}),
        ("/kafka/properties/client.rack", {"kafka": {"properties": {"client.rack": "a\nsecurity.protocol=SSL"}}}),
        ("/projection/port", {"projection": {"port": 8080}}),
        ("/projection/port", {"projection": {"port": 80}}),
        ("/gateway/port", {"gateway": {"port": 8080}}),
        ("/gateway/grpcPort", {"gateway": {"grpcPort": 80}}),
        ("/gateway/publicUrl", {"gateway": {"publicUrl": "video.example.com"}}),
        ("/gateway/corsOrigins/0", {"gateway": {"corsOrigins": ["*"]}}),
        ("/gateway/delivery", {"gateway": {"delivery": "mail"}}),
        ("/topics/schedule", {"topics": {"schedule": "daily"}}),
        ("/topics/strimzi/cluster", {"topics": {"strimzi": {"cluster": "c" * 64}}}),
        ("/stages/audio/podDisruptionBudget/maxUnavailable", stage(podDisruptionBudget={"maxUnavailable": 0})),
        ("/stages/audio/podDisruptionBudget/maxUnavailable", stage(podDisruptionBudget={"maxUnavailable": "0%"})),
        (
            "/stages/audio/strategy/rollingUpdate/maxUnavailable",
            stage(strategy={"rollingUpdate": {"maxUnavailable": "101%"}}),
        ),
        ("/stages/audio/autoscaling/scaleDown/policies", stage(autoscaling={"scaleDown": {"policies": []}})),
        ("/stages/audio/resources/requests/cpu", stage(resources={"requests": {"cpu": "one"}})),
        ("/stages/audio/resources/limits/memory", stage(resources={"limits": {"memory": "2GB"}})),
        (
            "/stages/audio/podLabels/app.kubernetes.io~1component",
            stage(podLabels={"app.kubernetes.io/component": "mine"}),
        ),
        ("/stages/audio/podLabels/team", stage(podLabels={"team": "video and audio"})),
        ("/stages/audio/podAnnotations/checksum~1kafka", stage(podAnnotations={"checksum/kafka": "0"})),
        ("/stages/audio/probes/liveness/successThreshold", stage(probes={"liveness": {"successThreshold": 2}})),
        ("/stages/audio/extraEnv/0", stage(extraEnv=[{"name": "A", "value": "b", "valueFrom": {}}])),
        ("/stages/audio/lifecycle/preStop/sleep", stage(lifecycle={"preStop": {"sleep": None}})),
        ("/networkPolicy/dns/ports", {"networkPolicy": {"dns": {"ports": []}}}),
        ("/podSecurityContext/runAsUser", {"podSecurityContext": {"runAsUser": 0}}),
        ("/topics/mode", {"topics": {"mode": "auto"}}),
        ("/networkPolicy/kafka/ports/0", {"networkPolicy": {"kafka": {"ports": ["kafka"]}}}),
        ("/fullnameOverride", {"fullnameOverride": "x" * 41}),
    ],
)
def test_schema_names_a_bad_value(where: str, bad: dict[str, Any]) -> None:
    with pytest.raises(Failed) as refused:
        render(with_defaults(**bad))
    assert f"at '{where.removesuffix('/')}'" in str(refused.value)


def test_schema_describes_every_value() -> None:
    """A leaf of values.yaml that the schema does not list would be accepted with any type."""
    undescribed: list[str] = []

    def walk(value: Any, schema: dict[str, Any], path: str) -> None:
        while "$ref" in schema or "allOf" in schema:
            schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema["allOf"][0]
        for name, one in value.items():
            known = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if not isinstance(known, dict) or not known:
                undescribed.append(f"{path}{name}")
            elif isinstance(one, dict):
                walk(one, known, f"{path}{name}.")

    walk(YAML(typ="safe").load((CHART / "values.yaml").read_text()), SCHEMA, "")
    assert [one for one in undescribed if not one.startswith("s3.inputBuckets.")] == []


def test_schema_is_closed_everywhere() -> None:
    """A mistyped name is an error, except in maps of free names and in Kubernetes' own types."""
    assert SCHEMA["additionalProperties"] is False
    for name, one in SCHEMA["$defs"].items():
        if one.get("properties"):
            assert one["additionalProperties"] is False, name
