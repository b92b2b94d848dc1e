"""Which deployment is found: the one that the environment names, completed by the running local stack."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from shared.local import stack_file
from shared.local.deployment import find_deployment, find_environment
from shared.local.settings import LocalSettings
from shared.local.stack_file import PROTOCOLS, ServiceRecord, Stack
from shared.runtime.settings_variables import InvalidSettings
from shared.storage.client import connect

KAFKA, S3, OTLP = "127.0.0.1:7001", "http://127.0.0.1:7002", "http://127.0.0.1:7003"
ADDRESSES = ("KAFKA_BOOTSTRAP_SERVERS", "AWS_ENDPOINT_URL_S3", "OTEL_EXPORTER_OTLP_ENDPOINT")


@pytest.fixture(autouse=True)
def no_stack_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        *ADDRESSES,
        *PROTOCOLS,
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "KAFKA_PROPERTIES_FILE",
        "LIPSTAGE_BUCKET",
    ):
        monkeypatch.delenv(name, raising=False)


def run_stack(monkeypatch: pytest.MonkeyPatch, folder: Path, *, services: bool = False, **fields: Any) -> None:
    audio = ServiceRecord(name="audio-0", stage="audio", engine=None, topic="t", group="g", health_port=1)
    running = Stack(state_dir=folder, sockets=folder, bootstrap_servers=KAFKA, s3_endpoint_url=S3, otlp_endpoint=OTLP,
                    bucket="theirs", services=[audio] if services else [], **fields)  # fmt: skip
    monkeypatch.setattr(stack_file, "running", lambda _: running)


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ({}, (KAFKA, S3, OTLP)),
        ({"KAFKA_BOOTSTRAP_SERVERS": KAFKA}, (KAFKA, S3, OTLP)),
        ({"AWS_ENDPOINT_URL_S3": f"{S3}/"}, (KAFKA, S3, OTLP)),
        ({"KAFKA_BOOTSTRAP_SERVERS": KAFKA, "AWS_ENDPOINT_URL_S3": S3}, (KAFKA, S3, OTLP)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://mine:1"}, (KAFKA, S3, "http://mine:1")),
        ({"KAFKA_BOOTSTRAP_SERVERS": "localhost:7001", "AWS_ENDPOINT_URL_S3": "http://[::1]:7002"}, (KAFKA, S3, OTLP)),
        # Another deployment: half of it and half of the local stack would be none.
        ({"KAFKA_BOOTSTRAP_SERVERS": "theirs:1", "LIPSTAGE_BUCKET": "mine"}, ("theirs:1", None, None)),
    ],
)
def test_the_running_stack_completes_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: dict[str, str], found: tuple[str | None, ...]
) -> None:
    run_stack(monkeypatch, tmp_path)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    deployment = find_deployment(LocalSettings())
    assert deployment is not None
    assert (deployment.runtime.bootstrap_servers, deployment.s3.endpoint_url, deployment.otlp_endpoint) == found
    assert (deployment.storage.bucket == "theirs") == (found[1] == S3)
    variables = find_environment(LocalSettings())
    assert variables is not None
    assert tuple(variables.get(name) for name in ADDRESSES) == found
    assert dict(os.environ) == before


def test_half_of_another_deployment_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the local broker nor the local keys go together with another object store."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://theirs:1")
    for running in (True, False):
        if running:
            run_stack(monkeypatch, tmp_path)
        else:
            monkeypatch.setattr(stack_file, "running", lambda _: None)
        for find in (find_deployment, find_environment):
            with pytest.raises(InvalidSettings, match=r"S3=http://theirs:1 .* set KAFKA_BOOTSTRAP_SERVERS"):
                find(LocalSettings())
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "theirs:1")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    for find in (find_deployment, find_environment):
        with pytest.raises(InvalidSettings, match="SERVERS=theirs:1 names another deployment, and nothing its object"):
            find(LocalSettings())
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://theirs:1")
    deployment = find_deployment(LocalSettings())
    assert deployment is not None
    assert (deployment.s3.endpoint_url, deployment.s3.access_key) == (None, None), "both from the environment"


def test_what_the_services_read_completes_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A shell without the variables of the last `up` submits to the topics and buckets that the services read."""
    buckets = {"inputs": "media"}
    run_stack(monkeypatch, tmp_path, topic_prefix="team.", services=True,
              variables={"LIPSTAGE_TOPIC_PREFIX": "team.", "LIPSTAGE_INPUT_BUCKETS": json.dumps(buckets)})  # fmt: skip
    monkeypatch.delenv("LIPSTAGE_TOPIC_PREFIX", raising=False)
    deployment, variables = find_deployment(LocalSettings()), find_environment(LocalSettings())
    assert deployment is not None
    assert variables is not None
    assert (deployment.runtime.topic_prefix, deployment.storage.input_buckets) == ("team.", buckets)
    assert (variables["LIPSTAGE_TOPIC_PREFIX"], json.loads(variables["LIPSTAGE_INPUT_BUCKETS"])) == ("team.", buckets)


@pytest.mark.parametrize("name", ["LIPSTAGE_TOPIC_PREFIX", "LIPSTAGE_BUCKET"])
def test_a_name_that_no_service_of_the_stack_uses_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    run_stack(monkeypatch, tmp_path, topic_prefix="theirs", services=True)
    monkeypatch.setenv(name, "mine")
    with pytest.raises(InvalidSettings, match=f"{name}=mine: the running stack uses theirs"):
        find_deployment(LocalSettings())
    monkeypatch.setenv(name, "theirs")
    assert find_deployment(LocalSettings()) is not None


def test_input_buckets_that_no_service_reads_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_stack(monkeypatch, tmp_path, services=True)
    monkeypatch.setenv("LIPSTAGE_INPUT_BUCKETS", '{"inputs":"mine"}')
    with pytest.raises(InvalidSettings, match=r"the running stack uses .*lipstage-inputs"):
        find_deployment(LocalSettings())
    monkeypatch.setenv("LIPSTAGE_INPUT_BUCKETS", '{"inputs":"lipstage-inputs"}')
    assert find_deployment(LocalSettings()) is not None


def test_an_empty_variable_takes_the_stacks_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_stack(monkeypatch, tmp_path, services=True, topic_prefix="team.", variables={"LIPSTAGE_SLOTS": "3"})
    for name in ("LIPSTAGE_BUCKET", "LIPSTAGE_TOPIC_PREFIX", "LIPSTAGE_INPUT_BUCKETS", "LIPSTAGE_SLOTS"):
        monkeypatch.setenv(name, "")
    deployment = find_deployment(LocalSettings())
    assert deployment is not None
    assert (deployment.storage.bucket, deployment.runtime.topic_prefix, deployment.runtime.slots) == (
        "theirs",
        "team.",
        3,
    )


def test_a_value_of_wrong_form_is_reported_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_stack(monkeypatch, tmp_path, services=True)
    monkeypatch.setenv("LIPSTAGE_BUCKET", "X")
    with pytest.raises(ValidationError):
        find_deployment(LocalSettings())


def test_no_deployment_is_found_without_a_stack_and_without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_file, "running", lambda _: None)
    assert find_deployment(LocalSettings()) is None
    assert find_environment(LocalSettings()) is None


def test_credentials_of_another_store_are_not_used_for_the_local_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_stack(monkeypatch, tmp_path)
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "of-another-store")
    deployment, variables = find_deployment(LocalSettings()), find_environment(LocalSettings())
    assert deployment is not None
    assert variables is not None
    credentials = connect(deployment.storage, access=deployment.s3)._request_signer._credentials  # type: ignore[attr-defined]
    assert credentials.access_key.startswith("LIP")
    assert credentials.token is None
    assert not {"AWS_SESSION_TOKEN", "AWS_PROFILE"} & variables.keys()
    assert variables["AWS_ACCESS_KEY_ID"] == credentials.access_key


def test_a_store_of_the_users_own_is_used_with_the_users_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_stack(monkeypatch, tmp_path, own_store=True)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "mine")
    deployment, variables = find_deployment(LocalSettings()), find_environment(LocalSettings())
    assert deployment is not None
    assert variables is not None
    assert deployment.s3.access_key is None
    assert variables["AWS_SESSION_TOKEN"] == "mine"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_local_receiver_gets_spans_over_http_whatever_the_shell_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    run_stack(monkeypatch, tmp_path)
    monkeypatch.setenv(name, "grpc")
    deployment, environment = find_deployment(LocalSettings()), find_environment(LocalSettings())
    assert deployment is not None and environment is not None
    assert deployment.otlp_protocol == "http/protobuf"
    assert {environment.get(one) for one in (PROTOCOLS[0], name)} == {"http/protobuf"}
    # A collector of the user's own speaks what the user says.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://mine:1")
    deployment, environment = find_deployment(LocalSettings()), find_environment(LocalSettings())
    assert deployment is not None and environment is not None
    assert deployment.otlp_protocol is None
    assert [environment.get(one) for one in PROTOCOLS] == ["grpc" if one == name else None for one in PROTOCOLS]
