"""``lipstage config``: every variable with its value and source, and shell exports that lead any other client to the
same deployment."""

import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from shared.cli import console, environment
from shared.local import no_proxy, signing_certificate, stack_file
from shared.local.deployment import find_environment
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack
from shared.local.variables import PASSED_ON, read_settings
from shared.runtime.host.settings_models import all_models
from shared.runtime.host.weights_settings import WeightsSettings
from shared.runtime.properties_file import read_properties, takes_files
from shared.runtime.settings_variables import SECRET, InvalidSettings, read, variable, without_secrets

HIDDEN = "(hidden)"
ASSIGNED = ("KAFKA_BOOTSTRAP_SERVERS", "AWS_ENDPOINT_URL_S3", "OTEL_EXPORTER_OTLP_ENDPOINT", "LIPSTAGE_CACHE_KEY",
            "LIPSTAGE_HASH_KEY", "LIPSTAGE_WEBHOOK_KEY", "LIPSTAGE_HEALTH_PORT",
            *signing_certificate.VARIABLES)  # fmt: skip
"""Variables that `up` gives to the services itself when the environment does not set them."""
UNSET = "-"


@dataclass(frozen=True, slots=True)
class Setting:
    """A variable, its value as text (None: not set), and where the value comes from."""

    value: str | None
    source: str
    """default | environment | stack | file"""


def show(as_json: bool) -> None:
    """Print every setting as the services of the local stack have it. Raises InvalidSettings."""
    settings = read_settings()
    running = stack_file.running(settings.state)
    found = in_force(settings, running)
    if as_json:
        console.emit_json({"settings": {name: {"value": one.value, "source": one.source}
                                        for name, one in found.items()}})  # fmt: skip
        return
    environment.warn_of_unknown_variables()
    console.note("values of the running local stack" if running else "no stack is running here; `lipstage up` uses")
    name_width, source_width = max(map(len, found)), len("environment")
    for name, one in found.items():
        head, value = f"{name:<{name_width}}  {one.source:<{source_width}}", one.value or UNSET
        columns = console.width()
        if columns is not None and len(head) + 2 + len(value) > columns:
            console.say(head.rstrip())
            console.say(f"    {value}")
        else:
            console.say(f"{head}  {value}")


def in_force(settings: LocalSettings, running: Stack | None) -> dict[str, Setting]:
    """Every variable of every stage and engine, then the others that are passed to services; secrets are hidden."""
    try:
        variables = find_environment(settings)
    except InvalidSettings:
        variables = None  # Half of a deployment: what the environment says is shown as it is.
    if variables is None:
        variables = dict(os.environ)
    found = {name: _setting(name, value, variables, settings) for name, value in _values(variables, settings, running)}
    for name in sorted(variables.keys() - found.keys()):
        if PASSED_ON.match(name):
            found[name] = _setting(name, variables[name], variables, settings)
    return found


def _values(
    variables: dict[str, str], settings: LocalSettings, running: Stack | None
) -> Iterator[tuple[str, str | None]]:
    """Every variable with its value as a service reads it."""
    models: tuple[type[BaseSettings], ...] = (*all_models(), LocalSettings)
    seen = set()
    for model in models:
        values = read(model, variables)
        for name, field in model.model_fields.items():
            if (key := variable(model, name)) in seen or field.exclude:
                continue
            seen.add(key)
            assigned = key in ASSIGNED and key not in variables
            generated = HIDDEN if running and SECRET.search(key) else None
            yield key, generated if assigned else _text(getattr(values, name))
    engines = stack_file.with_engines(settings, running).engines if running else settings.engines
    yield "LIPSTAGE_ENGINES", ",".join(engines)
    yield "LIPSTAGE_JARS_DIR", str(settings.jars)
    yield "LIPSTAGE_WEIGHTS_CACHE", str(read(WeightsSettings, variables).cache)


def _setting(name: str, value: str | None, variables: dict[str, str], settings: LocalSettings) -> Setting:
    in_file = name == "KAFKA_BOOTSTRAP_SERVERS" and settings.kafka_properties_file is not None
    file = settings.kafka_properties_file or Path()
    if in_file and (servers := read_properties(file).get("bootstrap.servers")):
        hidden = takes_files(file, "bootstrap.servers")
        return Setting(HIDDEN if hidden else without_secrets(servers), "file")
    source = "default"
    if name in os.environ:
        source = "environment" if os.environ[name] == variables.get(name) else "stack"
    elif name in variables or name in ASSIGNED:
        source = "stack"
    return Setting(HIDDEN if value and SECRET.search(name) else without_secrets(value or "") or None, source)


def _text(value: Any) -> str | None:
    """A value as it is written in an environment variable."""
    match value:
        case None | "":
            return None
        case bool():
            return str(value).lower()
        case SecretStr():
            return value.get_secret_value()
        case tuple():
            return ",".join(map(str, value))
        case dict():
            return json.dumps(value, default=lambda model: model.model_dump(exclude_none=True), ensure_ascii=False)
        case _:
            return str(value)


def print_exports() -> None:
    """Print lines for a shell with which boto3, librdkafka and OpenTelemetry reach the stack. Prints secrets.

    Variables that would lead boto3 to another store are unset. Raises Unreachable when no local stack runs and the
    environment names no deployment.
    """
    variables = environment.of_deployment()
    for name in sorted(set(os.environ) - set(variables)):
        console.say(f"unset {name}")
    for name, value in sorted(variables.items()):
        # A name that no shell accepts is not one of ours, and could be read as a command.
        exported = PASSED_ON.match(name) or (name in no_proxy.NAMES and no_proxy.is_needed(os.environ))
        if exported and name.isascii() and name.isidentifier():
            console.say(f"export {name}={_quoted(value)}")


def _quoted(value: str) -> str:
    r"""For a shell. Unprintable characters become ``"$(printf '\033')"``, which every shell expands to the same bytes,
    except for line ends at the very end of a value."""
    if value.isprintable():
        return shlex.quote(value)
    plain = set(range(0x20, 0x7F)) - set(b"'\\%-")
    return "\"$(printf '" + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in os.fsencode(value)) + "')\""
