"""The variables of every container are settings of the product, with values that it accepts."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.messages.quotas import Quotas
from shared.messages.tiers import DEFAULT_TIERS
from shared.messages.topics import WORK_PARTITIONS
from shared.runtime.host.settings_models import all_models, service_models
from shared.runtime.settings import RuntimeSettings, StateSettings
from shared.runtime.settings_variables import check, variable
from shared.storage.settings import StorageSettings
from shared.telemetry.settings import TelemetrySettings
from stages.gateway.projection.settings import ProjectionSettings
from stages.gateway.settings import GatewaySettings
from stages.gateway.webhooks.settings import WebhookSettings
from tests.helm.cases import CASES, values, with_defaults
from tests.helm.chart import CHART, Object, render
from tests.helm.objects import STAGE, container, environment, named, of_kind, pods

OTHERS = {
    "LIPSTAGE_TEMPO_URL",  # of commands and the gateway; no service of a stage reads it
    *("AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CA_BUNDLE"),
    *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
    *("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_RESOURCE_ATTRIBUTES"),
    *("POD_NAME", "POD_NAMESPACE", "NODE_NAME", "HOME", "TMPDIR"),
    *("CUDA_CACHE_PATH", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"),
}
"""Variables of libraries, of the container and of Kubernetes."""
SAMPLES = {"LIPSTAGE_HASH_KEY": "k1:0123456789abcdef", "LIPSTAGE_CACHE_KEY": "0123456789abcdef",
           "LIPSTAGE_WEBHOOK_KEY": "0123456789abcdef0123456789abcdef"}  # fmt: skip
"""What Secrets hold."""
EVERYWHERE = {
    *("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_PROPERTIES_FILE", "LIPSTAGE_TOPIC_PREFIX", "LIPSTAGE_ENGINES"),
    *("LIPSTAGE_RETRY_TIERS", "LIPSTAGE_WORK_PARTITIONS", "LIPSTAGE_BUCKET", "LIPSTAGE_INPUT_BUCKETS"),
    *("LIPSTAGE_OUTPUT_BUCKETS", "LIPSTAGE_CACHE_KEY", "LIPSTAGE_STATE_DIR", "AWS_REGION", "HOME", "TMPDIR"),
}
"""What every container must have: without these the parts of a deployment would disagree."""
SONIC = {"enabled": True, "weights": {"s3Url": "s3://weights/sonic"}}
SERVICE = {"LIPSTAGE_DRAIN_S", "LIPSTAGE_HEALTH_HOST", "LIPSTAGE_HEALTH_PORT", "LIPSTAGE_SCRATCH_DIR", "LIPSTAGE_SLOTS"}


def settings() -> set[str]:
    return {variable(model, name) for model in (*all_models(), StateSettings) for name in model.model_fields}


@pytest.mark.parametrize("case", CASES)
def test_every_variable_is_a_setting(case: str) -> None:
    known = settings() | OTHERS
    for where, pod in pods(render(values(case))):
        assert sorted(environment(pod).keys() - known) == [], where


@pytest.mark.parametrize("case", CASES)
def test_every_container_has_what_it_needs(case: str) -> None:
    for where, pod in pods(render(values(case))):
        needed = EVERYWHERE | (SERVICE if where.startswith("Deployment/") else set())
        assert sorted(needed - environment(pod).keys()) == [], where


@pytest.mark.parametrize("case", CASES)
def test_services_accept_their_values(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each service's own check, as it runs at its start, with the variables of its pod."""
    for deployment in of_kind(render(values(case)), "Deployment"):
        pod = deployment["spec"]["template"]
        with monkeypatch.context() as patch:
            for name, value in environment(pod).items():
                patch.setenv(name, value if isinstance(value, str) else SAMPLES.get(name, "sample"))
            assert check(models(pod)) == [], deployment["metadata"]["name"]


def models(pod: Object) -> tuple[Any, ...]:
    stage, _, engine = pod["metadata"]["labels"][STAGE].partition("-")
    if stage == "projection":
        return RuntimeSettings, StorageSettings, TelemetrySettings, ProjectionSettings
    if stage == "gateway":
        return RuntimeSettings, StorageSettings, TelemetrySettings, GatewaySettings, WebhookSettings
    if stage == "webhooks":
        return RuntimeSettings, StorageSettings, TelemetrySettings, WebhookSettings
    return service_models(stage, engine or None)


def test_a_wrong_value_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_SLOTS", "many")
    assert check(service_models("audio", None))


def test_containers_of_a_release_agree() -> None:
    """Topics, buckets and keys are the same everywhere; only the service's own variables differ."""
    for case in CASES:
        found = [environment(pod) for _, pod in pods(render(values(case)))]
        for name in EVERYWHERE:
            assert len({json.dumps(one[name]) for one in found}) == 1, f"{case}: {name}"


def test_settings_that_are_not_touched_are_those_of_the_code() -> None:
    pod = named(render(values("default")), "Deployment", "demo-audio")["spec"]["template"]
    found = environment(pod)
    for name, field in StorageSettings.model_fields.items():
        if name.startswith("retention_") or name in ("bucket", "s3_addressing"):
            assert found[variable(StorageSettings, name)] == str(field.default), name
    assert found["LIPSTAGE_RETRY_TIERS"] == ",".join(tier.name for tier in DEFAULT_TIERS)
    assert found["LIPSTAGE_WORK_PARTITIONS"] == str(WORK_PARTITIONS)
    assert found["LIPSTAGE_GROUP_PROTOCOL"] == RuntimeSettings.model_fields["group_protocol"].default


def test_group_and_topic_of_each_scaler_are_those_of_the_service() -> None:
    found = render(with_defaults(kafka={"topicPrefix": "staging."}))
    settings = RuntimeSettings(topic_prefix="staging.")
    scalers = {
        one["metadata"]["name"]: [trigger["metadata"] for trigger in one["spec"]["triggers"]]
        for one in of_kind(found, "ScaledObject")
    }
    expected = {
        "demo-audio": (settings.group("audio"), settings.topic("render.requests")),
        "demo-face": (settings.group("face"), settings.topic("render.face")),
        "demo-infer-puppet": (settings.group("infer", "puppet"), settings.topic("render.infer.puppet")),
        "demo-encode": (settings.group("encode"), settings.topic("render.encode")),
    }
    assert {name: [(one["consumerGroup"], one["topic"]) for one in found] for name, found in scalers.items()} == {
        name: [(group, topic), (group, f"{topic}.bulk")] for name, (group, topic) in expected.items()
    }


def test_extra_variables_replace_those_of_the_chart() -> None:
    extra = [{"name": "LIPSTAGE_S3_ADDRESSING", "value": "auto"}, {"name": "LIPSTAGE_LIP_CHECK", "value": "0"}]
    pod = named(render(with_defaults(stages={"encode": {"extraEnv": extra}})), "Deployment", "demo-encode")
    found = environment(pod["spec"]["template"])
    assert (found["LIPSTAGE_S3_ADDRESSING"], found["LIPSTAGE_LIP_CHECK"]) == ("auto", "0")


def test_services_follow_the_file_of_quotas() -> None:
    found = render(values("extras"))
    [config] = [one for one in of_kind(found, "ConfigMap") if one["metadata"]["name"] == "talking-heads-quotas"]
    [(name, text)] = config["data"].items()
    quotas = Quotas.model_validate_json(text)
    assert (quotas.of("beta").pixels_per_hour, quotas.of("acme").jobs_in_flight) == (100_000_000_000, 500)
    for deployment in of_kind(found, "Deployment"):
        pod = deployment["spec"]["template"]
        mounts = {one["mountPath"]: one for one in container(pod)["volumeMounts"]}
        folder, _, file = environment(pod)["LIPSTAGE_QUOTAS_FILE"].rpartition("/")
        assert (file, mounts[folder]["name"]) == (name, "quotas")
        assert "subPath" not in mounts[folder], "a file that is mounted alone never changes"
        [volume] = [one for one in pod["spec"]["volumes"] if one["name"] == "quotas"]
        assert volume["configMap"]["name"] == config["metadata"]["name"]


def test_without_quotas_there_is_no_file_of_them() -> None:
    found = render(values("default"))
    assert [one for one in of_kind(found, "ConfigMap") if one["metadata"]["name"].endswith("-quotas")] == []
    assert [where for where, pod in pods(found) if "LIPSTAGE_QUOTAS_FILE" in environment(pod)] == []


def test_stages_have_the_confinement_of_the_values() -> None:
    levels = {
        one["metadata"]["name"]: environment(one["spec"]["template"]).get("LIPSTAGE_CONFINEMENT")
        for one in of_kind(render(values("extras")), "Deployment")
    }
    stages = {f"talking-heads-{stage}": "auto" for stage in ("audio", "infer-puppet", "encode")}
    assert levels == stages | {"talking-heads-face": "required", "talking-heads-relay": None}


def test_variables_come_after_those_that_they_name() -> None:
    """Kubernetes puts $(NAME) in from the variables before."""
    for case in CASES:
        for where, pod in pods(render(values(case))):
            names = list(environment(pod))
            for number, (name, value) in enumerate(environment(pod).items()):
                used = re.findall(r"\$\((\w+)\)", value) if isinstance(value, str) else []
                assert set(used) <= set(names[:number]), f"{where}: {name}"


def test_arguments_start_the_service_of_the_deployment() -> None:
    found = render(with_defaults(stages={"infer": {"sonic": SONIC}, "projection": {"enabled": True}}))
    started = {
        one["metadata"]["name"]: " ".join(one["spec"]["template"]["spec"]["containers"][0]["args"])
        for one in of_kind(found, "Deployment")
    }
    assert started == {
        "demo-audio": "stage audio",
        "demo-face": "stage face",
        "demo-infer-puppet": "stage infer --engine puppet",
        "demo-infer-sonic": "stage infer --engine sonic",
        "demo-encode": "stage encode",
        "demo-relay": "stage relay",
        "demo-projection": "stage projection",
    }


@pytest.mark.parametrize("source", ["s3", "pvc", "image"])
def test_weights_are_where_the_engine_looks(source: str) -> None:
    weights = {"source": source, "s3Url": "s3://weights/sonic", "pvc": {"claimName": "weights"}}
    found = render(with_defaults(stages={"infer": {"sonic": {"enabled": True, "weights": weights}}}))
    pod = named(found, "Deployment", "demo-infer-sonic")["spec"]["template"]
    variables = environment(pod)
    assert variables["LIPSTAGE_SONIC_WEIGHTS"] == ("s3://weights/sonic" if source == "s3" else "/weights")
    mounts = {one["mountPath"]: one for one in pod["spec"]["containers"][0]["volumeMounts"]}
    assert ("/weights" in mounts) is (source != "image")
    if source == "s3":
        assert variables["LIPSTAGE_WEIGHTS_CACHE"] == "/weights"
    if source == "pvc":
        assert mounts["/weights"]["readOnly"]


def test_gateway_has_the_keys_and_the_address_of_the_values() -> None:
    found = render(values("gateway"))
    pod = named(found, "Deployment", "demo-gateway")["spec"]["template"]
    own = environment(pod)
    assert (own["LIPSTAGE_GATEWAY_PORT"], own["LIPSTAGE_GATEWAY_GRPC_PORT"]) == ("8000", "9000")
    assert own["LIPSTAGE_GATEWAY_PUBLIC_URL"] == "https://video.example.com"
    assert own["LIPSTAGE_GATEWAY_CORS_ORIGINS"] == "https://example.com,https://app.example.com:8443"
    assert own["LIPSTAGE_GATEWAY_DELIVERY"] == "redirect"
    assert own["LIPSTAGE_GATEWAY_S3_PUBLIC_URL"] == "https://files.example.com"
    assert own["LIPSTAGE_GATEWAY_GRAFANA_URL"] == "https://grafana.example.com"
    assert own["LIPSTAGE_TEMPO_URL"] == "http://tempo.observability:3200"
    mounts = {one["mountPath"]: one for one in pod["spec"]["containers"][0]["volumeMounts"]}
    folder, _, key = own["LIPSTAGE_GATEWAY_KEYS_FILE"].rpartition("/")
    assert mounts[folder]["readOnly"]
    assert "subPath" not in mounts[folder], "a file that is mounted alone never changes"
    volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
    assert (volumes["api-keys"]["secret"]["secretName"], key) == ("lipstage-api-keys", "keys.jsonl")
    service = named(found, "Service", "demo-gateway")
    named_ports = {one["name"]: one["containerPort"] for one in pod["spec"]["containers"][0]["ports"]}
    assert {one["targetPort"]: one["port"] for one in service["spec"]["ports"]} == {"http": 8000, "grpc": 9000}
    assert named_ports == {"health": 8080, "http": 8000, "grpc": 9000}
    for where, other in pods(found):
        if where != "Deployment/demo-gateway":
            assert not any(name.startswith("LIPSTAGE_GATEWAY") for name in environment(other)), where


def test_webhooks_are_signed_by_one_key_that_no_stage_has() -> None:
    found = render(values("gateway"))
    for name in ("demo-gateway", "demo-webhooks"):
        pod = named(found, "Deployment", name)["spec"]["template"]
        own = environment(pod)
        assert own["LIPSTAGE_WEBHOOK_KEY"]["secretKeyRef"] == {"name": "lipstage-keys", "key": "webhook-key"}
        assert own["LIPSTAGE_WEBHOOK_ALLOW_NETWORKS"] == "10.20.0.0/16"
        assert container(pod)["image"].startswith("lipstage/gateway:")
    for where, other in pods(found):
        if where not in ("Deployment/demo-gateway", "Deployment/demo-webhooks"):
            assert not any(name.startswith("LIPSTAGE_WEBHOOK") for name in environment(other)), where


def test_stages_and_engines_are_those_of_the_code() -> None:
    from shared.messages.engines import ENGINES
    from shared.messages.pipeline import OPTIONAL, SERVICES

    stages = yaml.safe_load((CHART / "values.yaml").read_text())["stages"]
    assert set(stages) == {*SERVICES, *OPTIONAL}
    assert set(stages["infer"]) == set(ENGINES)
    assert Path(CHART / "templates" / "_services.tpl").read_text().count(" ".join(ENGINES)) == 1
