"""compose.yaml is valid by the compose schema, and says the same as the local stack's settings.

Images can't be pulled in a test; that they start is not shown here.
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


def test_data_lie_in_the_volumes() -> None:
    """What a service writes elsewhere is lost when its container is made anew."""
    services = YAML(typ="safe").load(COMPOSE.read_text())["services"]
    mounts = {name: [str(v).split(":")[1] for v in service.get("volumes", [])] for name, service in services.items()}
    assert services["kafka"]["environment"]["KAFKA_LOG_DIRS"] in mounts["kafka"]
    assert [word.removeprefix("-dir=") for word in services["store"]["command"] if word.startswith("-dir=")] == mounts[
        "store"
    ]


def test_the_store_has_the_local_stores_switches(tmp_path: Path) -> None:
    """Nothing is told to anybody, no bucket is made by a slip, no other door is open."""
    local = store.program(LocalSettings(state_dir=tmp_path), dict.fromkeys(store.PORTS, 1), tmp_path).argv
    switches = {word for word in local if word.endswith("=false")}
    assert switches
    assert switches <= set(YAML(typ="safe").load(COMPOSE.read_text())["services"]["store"]["command"])


def test_what_the_comment_says_works_in_its_order() -> None:
    """A variable that the file demands is exported before the command that reads the file."""
    comment = [line for line in COMPOSE.read_text().splitlines() if line.startswith("#   ")]
    at = next(n for n, line in enumerate(comment) if "docker compose up" in line)
    for demanded in re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()):
        assert any(demanded in line for line in comment[:at]), demanded


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
