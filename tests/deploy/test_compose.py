"""compose.yaml matches the compose schema and the settings of the local stack.

Images can't be pulled in a test, so no container is started.
"""

import re
import subprocess
import sys
from pathlib import Path

from pydantic_settings import BaseSettings
from ruamel.yaml import YAML

from shared.local import broker, store
from shared.local.settings import LocalSettings
from shared.runtime.settings import RuntimeSettings
from shared.storage.settings import StorageSettings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "compose.yaml"
BOTO3 = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
"""Variables of boto3 that are no setting of ours."""


def test_file_matches_the_compose_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def known() -> set[str]:
    names: set[str] = set(BOTO3)
    models: tuple[type[BaseSettings], ...] = (LocalSettings, RuntimeSettings, StorageSettings)
    for model in models:
        for name, field in model.model_fields.items():
            names.add(f"LIPSTAGE_{name.upper()}")
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
    mounts = {name: [str(v).split(":")[1] for v in service.get("volumes", [])] for name, service in services.items()}
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
