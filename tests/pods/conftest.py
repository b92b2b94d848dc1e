"""A network with a broker and an object store in pods of their own, once for all tests."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from ruamel.yaml import YAML

import shared
from tests.helm import chart
from tests.images import containers
from tests.pods.client import Client
from tests.pods.podman import Podman
from tests.pods.release import Release
from tests.relay.harness import until
from tools.images.infra import KAFKA, SEAWEEDFS

ACCESS_KEY, SECRET_KEY = "lipstage", uuid.uuid4().hex
SECRETS = {
    "s3": {"access-key-id": ACCESS_KEY, "secret-access-key": SECRET_KEY},
    "keys": {"cache-key": uuid.uuid4().hex, "hash-key": f"k1:{uuid.uuid4().hex}"},
}
TIERS = ("1s", "2s", "4s")
PARTITIONS = 4


@dataclass(frozen=True)
class Network:
    """Where broker and object store answer."""

    podman: Podman
    name: str
    kafka: str
    store: str

    def values(self, prefix: str, **more: Any) -> dict[str, Any]:
        """Values of a release with topics and buckets of its own: those for one node, and these addresses."""
        values = YAML(typ="safe").load(chart.CHART / "values-small.yaml")
        own = {
            "image": {"registry": "localhost", "tag": shared.__version__, "pullPolicy": "Never"},
            "kafka": {
                "bootstrapServers": f"{self.kafka}:9092",
                "topicPrefix": prefix,
                "workPartitions": PARTITIONS,
                "retryTiers": list(TIERS),
            },
            "s3": {
                "endpointUrl": f"http://{self.store}:8333",
                "existingSecret": "s3",
                "bucket": f"{prefix.rstrip('.')}-lipstage",
                "inputBuckets": {"inputs": f"{prefix.rstrip('.')}-inputs"},
            },
            "keys": {"existingSecret": "keys"},
            "defaults": {"autoscaling": {"mode": "none"}},
        }
        return merged(merged(values, own), more)

    def client(self, prefix: str) -> Client:
        """A client of that release."""
        store = {
            "endpoint_url": f"http://{self.store}:8333",
            "aws_access_key_id": ACCESS_KEY,
            "aws_secret_access_key": SECRET_KEY,
        }
        plain = prefix.rstrip(".")
        buckets = (f"{plain}-lipstage", f"{plain}-inputs")
        return Client(f"{self.kafka}:9092", prefix, store, buckets, TIERS, PARTITIONS)

    def release(self, name: str) -> Release:
        """A release that is not installed yet."""
        return Release(self.podman, self.name, name, SECRETS)


def merged(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Both, as Helm merges values files: maps are merged, everything else is replaced."""
    result = dict(values)
    for name, value in more.items():
        inner = result.get(name)
        result[name] = merged(inner, value) if isinstance(value, dict) and isinstance(inner, dict) else value
    return result


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    reason = containers.missing()
    assert reason is None, reason
    configuration = tmp_path_factory.mktemp("podman") / "containers.conf"
    configuration.write_text(containers.CONFIGURATION)
    podman = Podman(configuration)
    name = f"lipstage-{uuid.uuid4().hex[:8]}"
    podman.run("network", "create", name)
    pods: list[str] = []
    try:
        base = podman.inspect("network", name)["subnets"][0]["subnet"].rpartition(".")[0]
        kafka, store = f"{base}.200", f"{base}.201"
        pods += [f"{name}-kafka", f"{name}-store"]
        _play(podman, name, pods[0], KAFKA, kafka, {"KAFKA_HOST": kafka})
        _play(podman, name, pods[1], SEAWEEDFS, store,
              {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY})  # fmt: skip
        until(lambda: _broker_answers(podman, pods[0]), "the broker answers", 90)
        until(lambda: _store_answers(podman, pods[1]), "the object store answers", 90)
        yield Network(podman, name, kafka, store)
    finally:
        for pod in pods:
            podman.succeeds("pod", "rm", "--force", "--time", "5", pod)
        podman.succeeds("network", "rm", "--force", name)


def _play(podman: Podman, network: str, name: str, image: str, address: str, variables: dict[str, str]) -> None:
    environment = [{"name": key, "value": value} for key, value in variables.items()]
    container = {"name": "main", "image": image, "imagePullPolicy": "Never", "env": environment}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}}
    podman.play(json.dumps(pod), network, address)


def _broker_answers(podman: Podman, pod: str) -> bool:
    return podman.succeeds(
        "exec", f"{pod}-main", "/opt/kafka/bin/kafka-broker-api-versions.sh", "--bootstrap-server", "127.0.0.1:9092"
    )


def _store_answers(podman: Podman, pod: str) -> bool:
    return podman.succeeds("exec", f"{pod}-main", "wget", "-qO-", "http://127.0.0.1:8333/healthz")
