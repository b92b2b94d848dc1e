"""What holds for every stage in every case."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helm.cases import CASES, values, with_defaults
from tests.helm.chart import Object, render
from tests.helm.objects import STAGE, container, environment, matches, named, of_kind, pods

LEAVING_S, TELEMETRY_S = 5, 3
"""What a service takes after its drain, at most: to leave its group, and to send its last spans."""
RELEASES = ["demo", "a-release-with.a-name-as-long-as-helm-a-l.lows-one-to"]
RESTRICTED_VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
"""Of those that the restricted Pod Security Standard allows, those that the chart uses."""


@pytest.fixture(params=[(case, name) for case in CASES for name in RELEASES], ids=lambda one: f"{one[0]}-{len(one[1])}")
def objects(request: pytest.FixtureRequest) -> list[Object]:
    case, name = request.param
    return render(values(case), name=name)


def test_only_infer_asks_for_a_gpu(objects: list[Object]) -> None:
    for where, pod in pods(objects):
        resources = container(pod)["resources"]
        devices = [key for part in resources.values() for key in part if "/" in key]
        assert not devices or pod["metadata"]["labels"][STAGE].startswith("infer-"), where


def test_every_pod_is_restricted(objects: list[Object]) -> None:
    for where, pod in pods(objects):
        spec, one = pod["spec"], container(pod)
        assert spec["securityContext"]["runAsNonRoot"] is True, where
        assert spec["securityContext"]["runAsUser"] > 0, where
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, where
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys(), where
        assert all("hostPort" not in port for port in one.get("ports", [])), where
        assert {kind for volume in spec["volumes"] for kind in volume if kind != "name"} <= RESTRICTED_VOLUMES, where


def test_only_a_pod_that_asks_the_api_server_has_a_token(objects: list[Object]) -> None:
    for where, pod in pods(objects):
        asks = environment(pod).get("LIPSTAGE_POD_DELETION_COST") == "true"
        assert pod["spec"]["automountServiceAccountToken"] is asks, where
        assert pod["spec"]["enableServiceLinks"] is False, where


def test_images_are_pinned(objects: list[Object]) -> None:
    for where, pod in pods(objects):
        assert re.search(r"/[a-z-]+(:[0-9][^:]*|@sha256:[0-9a-f]{64})$", container(pod)["image"]), where
        assert "command" not in container(pod), f"{where}: the image's entry point gets the signals"


def test_grace_period_covers_the_drain(objects: list[Object]) -> None:
    for deployment in of_kind(objects, "Deployment"):
        pod = deployment["spec"]["template"]
        drain_s = float(environment(pod)["LIPSTAGE_DRAIN_S"])
        assert pod["spec"]["terminationGracePeriodSeconds"] >= drain_s + LEAVING_S + TELEMETRY_S


def test_no_stage_has_more_replicas_than_partitions(objects: list[Object]) -> None:
    for scaler in of_kind(objects, "ScaledObject", "HorizontalPodAutoscaler"):
        most = scaler["spec"].get("maxReplicaCount") or scaler["spec"]["maxReplicas"]
        target = named(objects, "Deployment", scaler["spec"]["scaleTargetRef"]["name"])
        partitions = int(environment(target["spec"]["template"])["LIPSTAGE_WORK_PARTITIONS"])
        assert most <= partitions
        assert "replicas" not in target["spec"], "an upgrade would reset what the scaler has set"


def test_a_deployment_that_nothing_scales_has_replicas(objects: list[Object]) -> None:
    scaled = {
        one["spec"]["scaleTargetRef"]["name"] for one in of_kind(objects, "ScaledObject", "HorizontalPodAutoscaler")
    }
    for deployment in of_kind(objects, "Deployment"):
        assert ("replicas" in deployment["spec"]) is (deployment["metadata"]["name"] not in scaled)


def test_selectors_match_their_own_pods_alone(objects: list[Object]) -> None:
    labels = {where: pod["metadata"]["labels"] for where, pod in pods(objects)}
    for deployment in of_kind(objects, "Deployment"):
        own = f"Deployment/{deployment['metadata']['name']}"
        selector = deployment["spec"]["selector"]
        assert [where for where in labels if matches(selector, labels[where])] == [own]
        for rule in deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            assert rule["labelSelector"] == selector
    for budget in of_kind(objects, "PodDisruptionBudget"):
        assert [where for where in labels if matches(budget["spec"]["selector"], labels[where])] == [
            f"Deployment/{budget['metadata']['name']}"
        ]


def test_a_budget_is_there_where_replicas_may_be_several(objects: list[Object]) -> None:
    several = {one["metadata"]["name"] for one in of_kind(objects, "ScaledObject", "HorizontalPodAutoscaler")}
    several |= {one["metadata"]["name"] for one in of_kind(objects, "Deployment") if one["spec"].get("replicas", 0) > 1}
    budgets = of_kind(objects, "PodDisruptionBudget")
    assert {one["metadata"]["name"] for one in budgets} == several
    assert all("minAvailable" not in one["spec"] for one in budgets), "it would block the drain of a node"
    assert {one["spec"]["unhealthyPodEvictionPolicy"] for one in budgets} <= {"AlwaysAllow"}, "so would a broken pod"


def test_network_policy_selects_every_pod(objects: list[Object]) -> None:
    for policy in of_kind(objects, "NetworkPolicy"):
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert all(matches(policy["spec"]["podSelector"], pod["metadata"]["labels"]) for _, pod in pods(objects))


def test_ports_of_probes_and_monitor_are_declared(objects: list[Object]) -> None:
    for deployment in of_kind(objects, "Deployment"):
        one = container(deployment["spec"]["template"])
        ports = {port["name"]: port["containerPort"] for port in one["ports"]}
        assert str(ports["health"]) == environment(deployment["spec"]["template"])["LIPSTAGE_HEALTH_PORT"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert one[probe]["httpGet"]["port"] in ports
        for monitor in of_kind(objects, "PodMonitor"):
            assert {end["port"] for end in monitor["spec"]["podMetricsEndpoints"]} <= ports.keys()


def test_everything_that_is_named_exists(objects: list[Object]) -> None:
    """ConfigMaps, accounts and claims of the release; hooks run before all others, so they have their own."""
    for where, pod in pods(objects):
        hook = where.startswith("Job/")
        for volume in pod["spec"]["volumes"]:
            if "configMap" in volume:
                assert _is_hook(named(objects, "ConfigMap", volume["configMap"]["name"])) is hook, where
        account = pod["spec"]["serviceAccountName"]
        if account not in ("existing", "default"):
            assert _is_hook(named(objects, "ServiceAccount", account)) is hook, where
    for scaled in of_kind(objects, "ScaledObject"):
        for trigger in scaled["spec"]["triggers"]:
            if "authenticationRef" in trigger:
                named(objects, "TriggerAuthentication", trigger["authenticationRef"]["name"])
    for binding in of_kind(objects, "RoleBinding"):
        named(objects, "Role", binding["roleRef"]["name"])
        for subject in binding["subjects"]:
            assert subject["namespace"] == "video"
            named(objects, "ServiceAccount", subject["name"])


def test_names_and_labels_are_legal(objects: list[Object]) -> None:
    assert len({(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects}) == len(
        objects
    )
    for one in objects:
        name = one["metadata"]["name"]
        # KEDA names its HorizontalPodAutoscaler after the object, with nine characters before it.
        longest = {"ScaledObject": 54, "KafkaTopic": 253}.get(one["kind"], 63)
        part = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
        dotted = one["kind"] in ("KafkaTopic", "ConfigMap")
        assert re.fullmatch(rf"{part}([.]{part})*" if dotted else "[a-z]([-a-z0-9]*[a-z0-9])?", name), name
        assert len(name) <= longest, name
        labels = one["metadata"].get("labels", {})
        assert all(len(value) <= 63 for value in labels.values()), name
        # Objects without a namespace take the release's; only topics may lie in another one.
        assert "namespace" not in one["metadata"] or one["kind"] == "KafkaTopic"


def test_every_mount_has_its_volume_and_every_volume_its_mount(objects: list[Object]) -> None:
    for where, pod in pods(objects):
        volumes = [volume["name"] for volume in pod["spec"]["volumes"]]
        assert sorted(volumes) == sorted(mount["name"] for mount in container(pod)["volumeMounts"]), where
        paths = [mount["mountPath"] for mount in container(pod)["volumeMounts"]]
        assert len(paths) == len(set(paths)), where
        for volume in pod["spec"]["volumes"]:
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], where
        on_disk = [one for one in pod["spec"]["volumes"] if "emptyDir" in one and "medium" not in one["emptyDir"]]
        held = sum(_mebibytes(one["emptyDir"]["sizeLimit"]) for one in on_disk)
        assert _mebibytes(container(pod)["resources"]["requests"]["ephemeral-storage"]) >= held, where


def test_no_secret_is_in_the_release(objects: list[Object]) -> None:
    """Secrets are named, never made; a password in a ConfigMap is the name of a mounted file."""
    assert not of_kind(objects, "Secret")
    for where, pod in pods(objects):
        for name, value in environment(pod).items():
            if re.search(r"SECRET|PASSWORD|_KEY$|_KEY_ID$|HEADERS", name):
                assert value["secretKeyRef"].keys() == {"name", "key"}, f"{where}: {name}"
    for config in of_kind(objects, "ConfigMap"):
        for line in config["data"].get("kafka.properties", "").splitlines():
            name, _, value = line.partition("=")
            if re.search("password|secret|username|client.id", name):
                assert re.fullmatch(r"\$\{directory:/etc/[a-z/-]+:[a-z-]+\}", value), name


def test_files_of_the_properties_are_mounted(objects: list[Object]) -> None:
    for where, pod in pods(objects):
        mounted = [mount["mountPath"] for mount in container(pod)["volumeMounts"]]
        config = next(volume["configMap"]["name"] for volume in pod["spec"]["volumes"] if volume["name"] == "kafka")
        text = named(objects, "ConfigMap", config)["data"]["kafka.properties"]
        for folder in _folders(text):
            assert folder in mounted, f"{where}: {folder}"


def _mebibytes(quantity: str) -> float:
    number, unit = quantity[:-2], quantity[-2:]
    return float(number) * {"Mi": 1, "Gi": 1024}[unit]


def _folders(properties: str) -> Iterator[str]:
    yield from re.findall(r"\$\{directory:([^:}]+):", properties)
    for path in re.findall(r"\.location=(\S+)", properties):
        yield path.rpartition("/")[0]


def _is_hook(one: Object) -> bool:
    return "helm.sh/hook" in one["metadata"].get("annotations", {})


def test_stages_do_not_change_each_other() -> None:
    """`defaults` are copied for each stage: what one sets is not another's."""
    changed = render(with_defaults(stages={"audio": {"podLabels": {"only": "audio"}, "scratch": {"sizeLimit": "9Gi"}}}))
    plain = render(with_defaults())

    def others(found: list[Object]) -> list[Any]:
        return [one for one in of_kind(found, "Deployment") if one["metadata"]["name"] != "demo-audio"]

    assert json.dumps(others(changed)) == json.dumps(others(plain))
    assert named(changed, "Deployment", "demo-audio") != named(plain, "Deployment", "demo-audio")


def test_a_stage_wins_over_the_defaults_with_false_zero_and_empty() -> None:
    base = {"tolerations": [{"key": "a", "operator": "Exists"}], "shm": {"enabled": True}, "replicas": 3}
    own = {"tolerations": [], "shm": {"enabled": False}, "replicas": 0, "autoscaling": {"mode": "none"}}
    found = named(render(with_defaults(defaults=base, stages={"face": own})), "Deployment", "demo-face")
    assert found["spec"]["replicas"] == 0
    pod = found["spec"]["template"]["spec"]
    assert "tolerations" not in pod
    assert "shm" not in [volume["name"] for volume in pod["volumes"]]
