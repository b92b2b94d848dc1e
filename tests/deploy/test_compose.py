"""compose.yaml matches the compose schema and the settings of the local stack.

Images can't be pulled in a test, so no container is started.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings
from ruamel.yaml import YAML

from shared import __version__
from shared.local import broker, store
from shared.local.settings import LocalSettings
from shared.runtime.engine_settings import settings_model
from shared.runtime.host.settings_models import all_models
from shared.runtime.settings import RuntimeSettings
from tools.images.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "compose.yaml"
BOTO3 = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"}
"""Variables of boto3 that are no setting of ours."""


def test_file_matches_the_compose_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def known() -> set[str]:
    names: set[str] = set(BOTO3)
    models: tuple[type[BaseSettings], ...] = (LocalSettings, *all_models(), settings_model("sonic"))
    for model in models:
        for name, field in model.model_fields.items():
            names.add(f"{model.model_config['env_prefix']}{name}".upper())
            alias = field.validation_alias
            names.update(str(choice) for choice in getattr(alias, "choices", [alias]) if choice)
    return names


def test_every_variable_is_a_known_setting() -> None:
    """The comment at the top names the variables to export."""
    named = set(re.findall(r"\b((?:LIPSTAGE|AWS|OTEL)_[A-Z_0-9]+|KAFKA_BOOTSTRAP_SERVERS)\b", COMPOSE.read_text()))
    assert named <= known()


def test_data_are_in_the_volumes() -> None:
    """Files outside of volumes are lost with their container."""
    services = YAML(typ="safe").load(COMPOSE.read_text())["services"]
    mounts = {name: [str(v).split(":")[-1] for v in services[name]["volumes"]] for name in ("kafka", "store")}
    assert services["kafka"]["environment"]["KAFKA_LOG_DIRS"] in mounts["kafka"]
    assert [word.removeprefix("-dir=") for word in services["store"]["command"] if word.startswith("-dir=")] == mounts[
        "store"
    ]


def test_store_has_the_options_of_the_local_store(tmp_path: Path) -> None:
    """No telemetry, no bucket created by accident, no other interface."""
    local = store.program(LocalSettings(state_dir=tmp_path), dict.fromkeys(store.PORTS, 1), tmp_path).argv
    switches = {word for word in local if word.endswith("=false")}
    assert switches
    assert switches <= set(YAML(typ="safe").load(COMPOSE.read_text())["services"]["store"]["command"])


def test_commands_of_the_comment_work_in_order() -> None:
    """A variable that the file requires is exported before the command that reads the file."""
    comment = [line for line in COMPOSE.read_text().splitlines() if line.startswith("#   ")]
    up = next(n for n, line in enumerate(comment) if "docker compose up" in line)
    for required in re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()):
        assert any(required in line for line in comment[:up]), required


def test_broker_has_the_session_settings_of_the_local_broker() -> None:
    wanted = {name: value for name, value in broker.TUNING.items() if name.startswith("group.")}
    environment = YAML(typ="safe").load(COMPOSE.read_text())["services"]["kafka"]["environment"]
    configured = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in environment.items()
        if name.startswith("KAFKA_GROUP_")
    }
    assert wanted
    assert configured == {name: str(value) for name, value in wanted.items()}


def services() -> dict[str, Any]:
    found = YAML(typ="safe").load(COMPOSE.read_text())["services"]
    assert isinstance(found, dict)
    return found


def ours() -> dict[str, Any]:
    """The services that run an image of ours."""
    return {name: service for name, service in services().items() if str(service["image"]).startswith("lipstage/")}


def test_images_are_targets_of_this_version() -> None:
    names = {target.name for target in TARGETS}
    for name, service in ours().items():
        image, _, version = service["image"].removeprefix("lipstage/").partition(":")
        assert version == __version__, name
        assert image in names
        build = service.get("build", {"target": image, "args": {"VERSION": __version__}})
        assert build["target"] == image
        assert build["args"]["VERSION"] == __version__
        assert ("build" in service) != (service.get("pull_policy") == "never"), f"{name}: nothing of ours is pulled"
    built = {service["build"]["target"] for service in ours().values() if "build" in service}
    assert built == {service["image"].removeprefix("lipstage/").partition(":")[0] for service in ours().values()}


def test_the_product_is_every_stage_and_the_relay() -> None:
    product = {name for name, service in ours().items() if "product" in service.get("profiles", [])}
    assert product == {"audio", "face", "infer-puppet", "encode", "relay", "buckets", "topics"}


def test_every_profile_starts_what_its_services_depend_on() -> None:
    """Compose refuses a project with a dependency that no active profile starts."""
    every = services()
    profiles = {profile for service in every.values() for profile in service.get("profiles", [])}
    assert profiles >= {"product", "sonic", "ops", "dashboards"}
    for profile in (None, *profiles):
        started = {name for name, one in every.items() if profile in one.get("profiles", [profile])}
        for name in started:
            assert set(every[name].get("depends_on", ())) <= started, f"{name} with the profile {profile}"


def test_services_have_no_rights_and_write_to_two_folders() -> None:
    for name, service in ours().items():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["tmpfs"] == ["/tmp"]
        assert "/scratch" in service["volumes"]


def test_a_stage_may_drain_before_it_is_killed() -> None:
    drain = RuntimeSettings.model_fields["drain_s"].default
    for name, service in ours().items():
        if name not in ("ops", "buckets", "topics"):
            assert float(service["stop_grace_period"].removesuffix("s")) >= drain + 5, name


def test_containers_and_the_host_reach_the_broker_by_different_listeners() -> None:
    environment = services()["kafka"]["environment"]
    advertised = dict(line.split("://") for line in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert set(advertised.values()) == {"127.0.0.1:9092", ours()["audio"]["environment"]["KAFKA_BOOTSTRAP_SERVERS"]}
    assert set(advertised) <= {line.split("://")[0] for line in environment["KAFKA_LISTENERS"].split(",")}
