"""Helm reads numbers of a values file as floats; what needs an integer must not be written as 1e+07."""

import json
import re
from typing import Any

import pytest

from tests.helm.cases import with_defaults
from tests.helm.chart import Object, render
from tests.helm.objects import container, environment, named, of_kind, pods

BIG = 12345678


def properties(**more: Any) -> str:
    kafka = {"properties": {name.replace("_", "."): value for name, value in more.items()}}
    return str(named(render(with_defaults(kafka=kafka)), "ConfigMap", "demo-kafka")["data"]["kafka.properties"])


@pytest.mark.parametrize(
    ("value", "written"), [(10485760, "10485760"), (BIG, str(BIG)), (-1, "-1"), (True, "true"), ("1e7", "1e7")]
)
def test_properties_are_written_as_kafka_reads_them(value: Any, written: str) -> None:
    assert f"\nmessage.max.bytes={written}\n" in properties(message_max_bytes=value) + "\n"


def big() -> list[Object]:
    """A release with large numbers wherever the schema takes them."""
    policies = [{"type": "Pods", "value": BIG, "periodSeconds": 15}]
    auto = {"lagThreshold": BIG, "activationLagThreshold": BIG, "pollingInterval": BIG, "cooldownPeriod": BIG}
    return render(
        with_defaults(
            podSecurityContext={"runAsUser": 1000650000, "runAsGroup": 1000650000, "fsGroup": 1000650000},
            s3={"retention": {"framesDays": 36500}},
            topics={"timeoutSeconds": BIG, "schedule": "@daily"},
            defaults={
                "terminationGracePeriodSeconds": BIG,
                "progressDeadlineSeconds": BIG,
                "podDisruptionBudget": {"maxUnavailable": BIG},
                "strategy": {"rollingUpdate": {"maxSurge": BIG}},
                "probes": {"startup": {"failureThreshold": BIG}},
                "autoscaling": {**auto, "scaleUp": {"policies": policies}},
                "resources": {"requests": {"memory": 1073741824}},
            },
            stages={"face": {"autoscaling": {"mode": "hpa"}}},
        )
    )


def test_no_number_has_an_exponent() -> None:
    text = json.dumps(big())
    assert str(BIG) in text
    assert re.findall(r"\b[0-9.]+e\+?[0-9]+\b", text) == []


def test_large_numbers_stay_integers() -> None:
    found = big()
    for where, pod in pods(found):
        assert pod["spec"]["securityContext"]["runAsUser"] == 1000650000, where
        assert container(pod)["resources"]["requests"]["memory"] in (1073741824, "1Gi", "192Mi", "256Mi"), where
        assert environment(pod)["LIPSTAGE_RETENTION_FRAMES_DAYS"] == "36500"
    for budget in of_kind(found, "PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] == BIG
