"""``lipstage config``: the settings in force, and shell exports that lead any other client to the same deployment."""

import os
import shlex
from collections.abc import Mapping
from typing import Any

from pydantic_settings import BaseSettings

from shared.cli import console, environment
from shared.cli.errors import Unreachable
from shared.local.settings import LocalSettings
from shared.local.variables import PASSED_ON
from shared.runtime.engine_settings import settings_model
from shared.runtime.host.weights import WeightsSettings, external_engines
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settings_variables import SECRET, variable
from shared.storage.settings import StorageSettings

HIDDEN = "(hidden)"


def show(as_json: bool) -> None:
    """Print the settings in force and the variables they come from; a running local stack's are included."""
    try:
        variables, source = environment.of_deployment(), "the environment's or the running local stack's"
    except Unreachable:
        variables, source = dict(os.environ), "defaults; no stack is running here"
    settings, shown = in_force(variables)
    if as_json:
        console.emit_json({"settings": settings, "environment": shown})
        return
    console.say(f"settings ({source})")
    for name, value in settings.items():
        console.say(f"  {name:<26}{value}")
    console.say("environment")
    for name, text in shown.items():
        console.say(f"  {name:<34}{text}")


def in_force(variables: Mapping[str, str]) -> tuple[dict[str, object], dict[str, str]]:
    """Settings by name as a process with these variables reads them, and the variables of ours; secrets are hidden."""
    settings: dict[str, object] = {}
    for model in (RuntimeSettings, StorageSettings, WeightsSettings, LocalSettings):
        for name, value in _read(model, variables).model_dump(mode="json").items():
            if value is not None:
                settings.setdefault(name, HIDDEN if SECRET.search(name) else value)
    for engine in external_engines():
        values = _read(settings_model(engine), variables).model_dump(mode="json").items()
        settings.update({f"{engine}_{name}": value for name, value in values if value is not None})
    shown = {
        name: HIDDEN if SECRET.search(name) else value
        for name, value in sorted(variables.items())
        if PASSED_ON.match(name)
    }
    return settings, shown


def _read(model: type[BaseSettings], variables: Mapping[str, str]) -> BaseSettings:
    """The settings of a process with these variables, of which this process may not have all."""
    values: dict[str, Any] = {}
    for name in model.model_fields:
        value = variables.get(variable(model, name))
        if value != os.environ.get(variable(model, name)):
            values[name] = value
    return model(**values)


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
        if PASSED_ON.match(name) and name.isascii() and name.isidentifier():
            console.say(f"export {name}={_quoted(value)}")


def _quoted(value: str) -> str:
    r"""For a shell. Unprintable characters become ``"$(printf '\033')"``, which every shell expands to the same bytes,
    except for line ends at the very end of a value."""
    if value.isprintable():
        return shlex.quote(value)
    plain = set(range(0x20, 0x7F)) - set(b"'\\%-")
    return "\"$(printf '" + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in os.fsencode(value)) + "')\""
