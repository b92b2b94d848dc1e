"""``lipstage config``: the settings in force, and exports that lead any other client to the same stack."""

import os
import re
import shlex

from shared.cli import connection, console
from shared.cli.errors import Unreachable

SECRET = re.compile(r"SECRET|PASSWORD|TOKEN|ACCESS_KEY|SESSION|_KEY$|HEADERS|CREDENTIAL", re.IGNORECASE)
PASSED_ON = re.compile(r"^(LIPSTAGE|OTEL|KAFKA|AWS)_")
HIDDEN = "(hidden)"


def in_force() -> tuple[dict[str, object], dict[str, str]]:
    """Settings by name as the services read them, and the environment variables they come from; secrets hidden.

    Raises BadUse for a variable that can't be read.
    """
    from shared.local.settings import LocalSettings
    from shared.storage.settings import StorageSettings

    found: dict[str, object] = {}
    for settings in (connection.runtime_settings(), StorageSettings(), LocalSettings()):
        for name, value in settings.model_dump(mode="json").items():
            if value is not None:
                found.setdefault(name, HIDDEN if SECRET.search(name) and name != "cache_key_file" else value)
    variables = {
        name: HIDDEN if SECRET.search(name) else value
        for name, value in sorted(os.environ.items())
        if PASSED_ON.match(name)
    }
    return found, variables


def show(as_json: bool) -> None:
    """Print the settings; a local stack that runs counts, none need run."""
    try:
        connection.locate()
        where = "the environment's or the running local stack's"
    except Unreachable:
        where = "defaults; no stack is running here"
    settings, variables = in_force()
    if as_json:
        console.emit_json({"settings": settings, "environment": variables})
        return
    console.say(f"settings ({where})")
    for name, value in settings.items():
        console.say(f"  {name:<26}{value}")
    console.say("environment")
    for name, text in variables.items():
        console.say(f"  {name:<34}{text}")


def print_exports() -> None:
    """Print ``export NAME=value`` lines with which boto3, librdkafka and OpenTelemetry reach the stack. Prints secrets.

    Raises Unreachable when no local stack runs and the environment names none.
    """
    connection.locate()
    for name, value in sorted(os.environ.items()):
        if PASSED_ON.match(name):
            console.say(f"export {name}={shlex.quote(value)}")
