"""What KEDA and the cluster's autoscaler are told."""

from typing import Any

import pytest

from tests.helm.cases import values, with_defaults
from tests.helm.chart import Object, render
from tests.helm.objects import environment, named, of_kind

SONIC = {"enabled": True, "weights": {"s3Url": "s3://weights/sonic"}}


def trigger(found: list[Object], name: str) -> dict[str, Any]:
    """The trigger of the interactive lane."""
    return dict(named(found, "ScaledObject", name)["spec"]["triggers"][0])


def test_only_infer_goes_to_zero() -> None:
    found = render(with_defaults(stages={"infer": {"sonic": SONIC}}))
    fewest = {one["metadata"]["name"]: one["spec"]["minReplicaCount"] for one in of_kind(found, "ScaledObject")}
    assert fewest == {
        **{"demo-audio": 1, "demo-face": 1, "demo-encode": 1},
        **{"demo-infer-puppet": 0, "demo-infer-sonic": 0},
    }


@pytest.mark.parametrize("case", ["default", "gpu", "large", "sasl-ssl"])
def test_lag_is_counted_as_the_product_needs_it(case: str) -> None:
    """A long task keeps its replica, a new group begins at the first record, no replica is without a partition."""
    for one in of_kind(render(values(case)), "ScaledObject"):
        told, bulk = (trigger["metadata"] for trigger in one["spec"]["triggers"])
        assert bulk == {**told, "topic": f"{told['topic']}.bulk"}, "both lanes alike"
        assert (told["excludePersistentLag"], told["offsetResetPolicy"], told["allowIdleConsumers"]) == (
            *("false", "earliest", "false"),
        )
        infer = one["metadata"]["name"].startswith("demo-infer-")
        assert told["limitToPartitionsWithLag"] == ("true" if infer else "false")


@pytest.mark.parametrize(
    ("mechanism", "keda"),
    [
        ("PLAIN", "plaintext"),
        ("SCRAM-SHA-256", "scram_sha256"),
        ("SCRAM-SHA-512", "scram_sha512"),
        ("OAUTHBEARER", "oauthbearer"),
    ],
)
@pytest.mark.parametrize("protocol", ["SASL_SSL", "SASL_PLAINTEXT"])
def test_keda_logs_in_as_the_services_do(mechanism: str, keda: str, protocol: str) -> None:
    sasl = {"mechanism": mechanism, "existingSecret": "user"}
    found = render(with_defaults(kafka={"protocol": protocol, "sasl": sasl, "tls": {"caSecret": {"name": "ca"}}}))
    told = trigger(found, "demo-audio")
    assert told["metadata"]["sasl"] == keda
    assert told["metadata"].get("tls") == ("enable" if protocol == "SASL_SSL" else None)
    secrets = named(found, "TriggerAuthentication", told["authenticationRef"]["name"])["spec"]["secretTargetRef"]
    named_keys = {(one["parameter"], one["name"], one["key"]) for one in secrets}
    assert {("username", "user", "username"), ("password", "user", "password")} <= named_keys
    assert (("ca", "ca", "ca.crt") in named_keys) is (protocol == "SASL_SSL")
    text = named(found, "ConfigMap", "demo-kafka")["data"]["kafka.properties"]
    assert f"sasl.mechanism={mechanism}" in text
    assert f"security.protocol={protocol}" in text


def test_without_security_keda_needs_no_secret() -> None:
    found = render(values("default"))
    assert not of_kind(found, "TriggerAuthentication")
    assert "authenticationRef" not in trigger(found, "demo-audio")


def test_modes_exclude_each_other() -> None:
    for mode, kinds in {"keda": {"ScaledObject"}, "hpa": {"HorizontalPodAutoscaler"}, "none": set()}.items():
        found = render(with_defaults(defaults={"autoscaling": {"mode": mode}}))
        assert {one["kind"] for one in of_kind(found, "ScaledObject", "HorizontalPodAutoscaler")} == kinds


def test_hpa_never_goes_to_zero() -> None:
    for one in of_kind(render(values("hpa")), "HorizontalPodAutoscaler"):
        assert one["spec"]["minReplicas"] >= 1


def test_only_replicas_that_compete_keep_their_deletion_cost() -> None:
    """A stage with one replica, and the relay, need no right to change pods."""
    fixed = {"autoscaling": {"mode": "none"}}
    found = render(with_defaults(podDeletionCost={"enabled": True}, stages={"face": fixed}))
    keeps = {
        one["metadata"]["name"]
        for one in of_kind(found, "Deployment")
        if "LIPSTAGE_POD_DELETION_COST" in environment(one["spec"]["template"])
    }
    assert keeps == {"demo-audio", "demo-encode", "demo-infer-puppet"}
    (role,) = of_kind(found, "Role")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]
    assert not of_kind(render(values("default")), "Role", "RoleBinding")


def test_gpus_are_asked_for_under_the_name_that_is_set() -> None:
    for name in ("nvidia.com/gpu", "nvidia.com/mig-3g.40gb", "amd.com/gpu"):
        sonic = {**SONIC, "gpu": {"count": 2, "resourceName": name}}
        pod = named(render(with_defaults(stages={"infer": {"sonic": sonic}})), "Deployment", "demo-infer-sonic")
        assert pod["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"][name] == 2
        assert pod["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
