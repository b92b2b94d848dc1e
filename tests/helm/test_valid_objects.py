"""Every object is one that a cluster accepts: Kubernetes' schemas, and the models of custom resources."""

import json

import jsonschema
import kubernetes_validate
import pytest
from cloudcoil.models.keda.v1alpha1 import ScaledObject, TriggerAuthentication
from cloudcoil.models.prometheus_operator.v1 import PodMonitor, PrometheusRule
from pydantic import ValidationError

from tests.helm.cases import CASES, values
from tests.helm.chart import Object, render
from tests.helm.objects import of_kind

VERSIONS = ("1.29", kubernetes_validate.latest_version())
"""The oldest that Chart.yaml accepts, and the newest with a schema."""
MODELS = {
    "ScaledObject": ScaledObject,
    "TriggerAuthentication": TriggerAuthentication,
    "PodMonitor": PodMonitor,
    "PrometheusRule": PrometheusRule,
}
KAFKA_TOPIC = {
    "properties": {
        "apiVersion": {"enum": ["kafka.strimzi.io/v1", "kafka.strimzi.io/v1beta2"]},
        "kind": {"const": "KafkaTopic"},
        "metadata": {"required": ["name", "labels"]},
        "spec": {
            "additionalProperties": False,
            "required": ["topicName", "partitions"],
            "properties": {
                "topicName": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,249}$"},
                "partitions": {"type": "integer", "minimum": 1},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 32767},
                "config": {"type": "object", "additionalProperties": {"type": ["string", "integer", "boolean"]}},
            },
        },
    },
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
}
_seen: set[str] = set()
"""Objects that are equal in several cases are checked once."""


def check(one: Object) -> None:
    if one["kind"] in MODELS:
        MODELS[one["kind"]].model_validate(one, extra="forbid")
    elif one["kind"] == "KafkaTopic":
        jsonschema.validate(one, KAFKA_TOPIC)
    else:
        for version in VERSIONS:
            kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("case", CASES)
def test_every_object_is_valid(case: str) -> None:
    for one in render(values(case)):
        key = json.dumps(one, sort_keys=True)
        if key not in _seen:
            check(one)
            _seen.add(key)


def test_wrong_objects_are_found() -> None:
    deployment = of_kind(render(values("default")), "Deployment")[0]
    deployment["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        check(deployment)
    scaled = of_kind(render(values("default")), "ScaledObject")[0]
    scaled["spec"]["triggers"][0]["metadata"]["lagThreshold"] = 2
    with pytest.raises(ValidationError):
        check(scaled)


def test_oldest_version_is_the_one_of_the_chart(request: pytest.FixtureRequest) -> None:
    chart = (request.config.rootpath / "helm" / "lipstage" / "Chart.yaml").read_text()
    assert f'kubeVersion: ">={VERSIONS[0]}.0-0"' in chart
