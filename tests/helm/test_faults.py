"""Values that fit the schema and not each other, or not the cluster, stop the render with a sentence."""

from typing import Any

import pytest

from tests.helm.cases import stage, values, with_defaults
from tests.helm.chart import Failed, render


def sonic(**values: Any) -> dict[str, Any]:
    """Values of the engine with a GPU, enabled."""
    return {"stages": {"infer": {"sonic": {**ENABLED, **values}}}}


def properties(**values: Any) -> dict[str, Any]:
    """Kafka properties, with underscores for dots."""
    return {"kafka": {"properties": {name.replace("_", "."): value for name, value in values.items()}}}


ENABLED = {"enabled": True, "weights": {"s3Url": "s3://weights/sonic"}}


@pytest.mark.parametrize(
    ("sentence", "bad"),
    [
        ("stages.adio: there is no such stage; stages are audio, face,", {"stages": {"adio": {}}}),
        ("stages.infer.sonik: there is no such engine; engines are puppet,", {"stages": {"infer": {"sonik": {}}}}),
        ("stages.audio: 17 replicas and 16 partitions", {"stages": {"audio": {"autoscaling": {"maxReplicas": 17}}}}),
        (
            "stages.face: 17 replicas and 16 partitions",
            {"stages": {"face": {"replicas": 17, "autoscaling": {"mode": "none"}}}},
        ),
        ("stages.infer.puppet: 4 replicas and 3 partitions", {"kafka": {"workPartitions": 3}}),
        (
            "stages.relay: 9 replicas and 8 partitions",
            {"kafka": {"retryTiers": ["1s", "9s"]}, "stages": {"relay": {"replicas": 9}}},
        ),
        ("one projection reads all events", {"stages": {"projection": {"enabled": True, "replicas": 2}}}),
        ("gateway.keysSecret.name is empty", {"stages": {"gateway": {"enabled": True}}}),
        ("keys.webhookKey is empty", {"stages": {"webhooks": {"enabled": True}}}),
        (
            "gateway.port and gateway.grpcPort are both 9000",
            {"stages": {"gateway": {"enabled": True}}, "gateway": {"port": 9000, "grpcPort": 9000}},
        ),
        (
            "stages.gateway.autoscaling.mode is hpa",
            {"stages": {"gateway": {"enabled": True, "autoscaling": {"mode": "hpa"}}}},
        ),
        ("stages.relay.autoscaling.mode is keda", {"stages": {"relay": {"autoscaling": {"mode": "keda"}}}}),
        ("minReplicas 5 is above maxReplicas 4", {"stages": {"face": {"autoscaling": {"minReplicas": 5}}}}),
        ("terminationGracePeriodSeconds is 75 and drainSeconds 67.5", {"stages": {"face": {"drainSeconds": 67.5}}}),
        (
            "terminationGracePeriodSeconds is 30 and drainSeconds 60",
            {"defaults": {"terminationGracePeriodSeconds": 30}},
        ),
        ("stages.encode.gpu.count is 1: only infer", {"stages": {"encode": {"gpu": {"count": 1}}}}),
        ("only infer can use a GPU", {"defaults": {"gpu": {"count": 1}}}),
        (
            "can't be scaled by CPU",
            {"defaults": {"autoscaling": {"mode": "hpa"}}, "stages": {"infer": {"sonic": ENABLED}}},
        ),
        ("stages.infer.sonic.weights.s3Url is not s3://", {"stages": {"infer": {"sonic": {"enabled": True}}}}),
        (
            "weights.pvc.claimName is empty",
            {"stages": {"infer": {"sonic": {"enabled": True, "weights": {"source": "pvc"}}}}},
        ),
        (
            "weights.source is none",
            {"stages": {"infer": {"sonic": {"enabled": True, "weights": {"source": "none"}}}}},
        ),
        ("no engine is enabled", {"stages": {"infer": {"puppet": {"enabled": False}}}}),
        ("kafka.bootstrapServers is empty", {"kafka": {"bootstrapServers": ""}}),
        ("SASL_SSL needs a Secret", {"kafka": {"protocol": "SASL_SSL"}}),
        ("must not be transactional", {"kafka": {"properties": {"transactional.id": "x"}}}),
        ("use kafka.bootstrapServers", properties(bootstrap_servers="x:1")),
        ("use kafka.protocol", properties(security_protocol="SSL")),
        ("use kafka.sasl.mechanism", properties(sasl_mechanisms="PLAIN")),
        ("kafka.properties has sasl.username, which", properties(sasl_username="${directory:/etc/a:user}")),
        ("kafka.properties has sasl.password, which", properties(sasl_password="${directory:/etc/a:password}")),
        ("use kafka.tls.caSecret", properties(ssl_ca_location="/etc/a/ca.crt")),
        ("kafka.properties has ssl.key.location, which", properties(ssl_key_location="/etc/a/tls.key")),
        ("kafka.properties has group.instance.id: every service", properties(group_instance_id="a")),
        ("kafka.properties has ssl.key.password: everybody", properties(ssl_key_password="x")),
        ("kafka.retryTiers has 1m after one that is as long", {"kafka": {"retryTiers": ["60s", "1m"]}}),
        ("kafka.retryTiers has 59s after", {"kafka": {"retryTiers": ["1m", "59s"]}}),
        ("kafka.retryTiers has 25h: a tier is at most 24h", {"kafka": {"retryTiers": ["10s", "25h"]}}),
        ("stages.audio.resources.limits has nvidia.com/gpu", stage(resources={"limits": {"nvidia.com/gpu": 1}})),
        ("stages.audio.resources.requests has amd.com/gpu", stage(resources={"requests": {"amd.com/gpu": "1"}})),
        ("ops.resources.limits has nvidia.com/gpu", {"ops": {"resources": {"limits": {"nvidia.com/gpu": 1}}}}),
        ("stages.infer.sonic.gpu.count is 0", sonic(gpu={"count": 0})),
        ("stages.infer.sonic.slots is 2 and gpu.count 1", sonic(slots=2)),
        ("requests.rdma/hca is 1: the cluster takes", sonic(resources={"requests": {"rdma/hca": 1}})),
        ("stages.audio.weights.source is s3: only infer", stage(weights={"source": "s3", "s3Url": "s3://a/b"})),
        ("preStop.sleep.seconds 8", stage(lifecycle={"preStop": {"sleep": {"seconds": 8}}})),
        ("maxSurge and maxUnavailable are both 0", stage(strategy={"rollingUpdate": {"maxSurge": 0}})),
        (
            "maxSurge and maxUnavailable are both 0",
            stage(strategy={"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": "0%"}}),
        ),
        ("fallback needs both", stage(autoscaling={"fallback": {"replicas": 2}})),
        ("limits.memory is 512Mi, below the request 1Gi", stage(resources={"limits": {"memory": "512Mi"}})),
        ("limits.cpu is 900m, below the request 1.", stage(resources={"limits": {"cpu": "900m"}})),
        (
            "limits.ephemeral-storage is 4Gi, below the request 4352Mi",
            stage(resources={"limits": {"ephemeral-storage": "4Gi"}}),
        ),
        (
            "requests.ephemeral-storage is 4Gi and the pod's volumes hold 4352Mi",
            stage(resources={"requests": {"ephemeral-storage": "4Gi"}}),
        ),
        ("extraEnv has LIPSTAGE_HEALTH_PORT: probes", stage(extraEnv=[{"name": "LIPSTAGE_HEALTH_PORT", "value": "1"}])),
        ("extraEnv has A twice", stage(extraEnv=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}])),
        (
            "serviceAccount.name is demo-setup, the account that the hooks",
            {"serviceAccount": {"name": "demo-setup"}},
        ),
        ("topics.schedule is set and topics.mode none", {"topics": {"schedule": "@daily", "mode": "none"}}),
        ("s3.endpointUrl and s3.region are empty", {"s3": {"endpointUrl": ""}}),
        ("s3.existingSecret is empty", {"s3": {"existingSecret": ""}}),
        ("could read the artifacts of other jobs", {"s3": {"inputBuckets": {"own": "lipstage"}}}),
        ("keys.existingSecret is empty", {"keys": {"existingSecret": ""}}),
        ("topics.strimzi.cluster is empty", {"topics": {"mode": "strimzi"}}),
    ],
)
def test_render_fails_with_a_sentence(sentence: str, bad: dict[str, Any]) -> None:
    with pytest.raises(Failed) as refused:
        render(with_defaults(**bad))
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    {
        "KAFKA_BOOTSTRAP_SERVERS": "kafka.bootstrapServers",
        "KAFKA_PROPERTIES_FILE": "kafka.properties",
        "LIPSTAGE_TOPIC_PREFIX": "kafka.topicPrefix",
        "LIPSTAGE_WORK_PARTITIONS": "kafka.workPartitions",
        "LIPSTAGE_RETRY_TIERS": "kafka.retryTiers",
        "LIPSTAGE_ENGINES": "stages.infer and extraEngines",
        "LIPSTAGE_DRAIN_S": "drainSeconds",
        "LIPSTAGE_SLOTS": "slots",
        "LIPSTAGE_POD_DELETION_COST": "podDeletionCost.enabled",
        "LIPSTAGE_GATEWAY_HOST": "gateway.port",
        "LIPSTAGE_GATEWAY_KEYS_FILE": "gateway.keysSecret",
    }.items(),
)
def test_a_variable_that_the_chart_uses_elsewhere_is_refused(name: str, value: str) -> None:
    with pytest.raises(Failed) as refused:
        render(with_defaults(ops={"extraEnv": [{"name": name, "value": "1"}]}))
    assert f"ops.extraEnv has {name}" in str(refused.value)
    assert f"use {value}." in str(refused.value)


@pytest.mark.parametrize("name", ["7-of-9", "1"])
def test_a_release_whose_name_is_none_of_a_service_is_refused(name: str) -> None:
    with pytest.raises(Failed, match="Set fullnameOverride"):
        render(values("default"), name=name)
    assert render(with_defaults(fullnameOverride="seven"), name=name)


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(Failed) as refused:
        render({})
    for value in ("kafka.bootstrapServers", "s3.endpointUrl", "s3.existingSecret", "keys.existingSecret"):
        assert value in str(refused.value)


def test_just_enough_is_accepted() -> None:
    """The limits themselves pass: as many replicas as partitions, the shortest grace period."""
    shortest = {"drainSeconds": 60, "terminationGracePeriodSeconds": 68}
    assert render(with_defaults(**stage(autoscaling={"maxReplicas": 16}, **shortest)))
    hook = {"drainSeconds": 60, "lifecycle": {"preStop": {"sleep": {"seconds": 7}}}}
    disk = {
        "requests": {"ephemeral-storage": "4352Mi", "cpu": 0.5},
        "limits": {"ephemeral-storage": "4.25Gi", "cpu": 0.5},
    }
    assert render(with_defaults(stages={"audio": {**hook, "resources": disk}}))
    assert render(with_defaults(kafka={"retryTiers": ["59s", "1m", "24h"]}))
    assert render(with_defaults(**sonic(slots=2, gpu={"count": 2})))
    surge = {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}
    assert render(with_defaults(stages={"audio": {"strategy": surge}, "face": {"strategy": {"type": "Recreate"}}}))
