"""compose.yaml is valid by the compose schema, and says the same as the local stack's settings.

Images can't be pulled in a test; that they start is not shown here.
"""

import re
import subprocess
import sys
from pathlib import Path

from pydantic_settings import BaseSettings
from ruamel.yaml import YAML

from shared.local import broker
from shared.local.settings import LocalSettings
from shared.runtime.settings import RuntimeSettings
from shared.storage.settings import StorageSettings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "compose.yaml"
OF_OTHERS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
"""boto3's own."""


def test_valid_by_the_compose_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def known() -> set[str]:
    names: set[str] = set(OF_OTHERS)
    models: tuple[type[BaseSettings], ...] = (LocalSettings, RuntimeSettings, StorageSettings)
    for model in models:
        for name, field in model.model_fields.items():
            names.add(f"LIPSTAGE_{name.upper()}")
            alias = field.validation_alias
            names.update(str(choice) for choice in getattr(alias, "choices", [alias]) if choice)
    return names


def test_every_variable_for_our_services_is_known() -> None:
    """The comment at the top tells people what to export."""
    named = set(re.findall(r"\b((?:LIPSTAGE|AWS|OTEL)_[A-Z_0-9]+|KAFKA_BOOTSTRAP_SERVERS)\b", COMPOSE.read_text()))
    assert named <= known()


def test_the_broker_has_the_local_brokers_session_settings() -> None:
    wanted = {name: value for name, value in broker.TUNING.items() if name.startswith("group.")}
    environment = YAML(typ="safe").load(COMPOSE.read_text())["services"]["kafka"]["environment"]
    found = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in environment.items()
        if name.startswith("KAFKA_GROUP_")
    }
    assert wanted
    assert found == {name: str(value) for name, value in wanted.items()}
