"""``lipstage config``: the settings in force, and exports that lead any other client to the same stack."""

import os
import shlex

from shared.cli import connection, console
from shared.cli.errors import Unreachable
from shared.local.variables import PASSED_ON, SECRET

HIDDEN = "(hidden)"


def in_force() -> tuple[dict[str, object], dict[str, str]]:
    """Settings by name as the services read them, and the environment variables they come from; secrets hidden."""
    from shared.local.engine_settings import engine_settings, engine_specs
    from shared.local.engine_weights import WeightsSettings
    from shared.local.settings import LocalSettings
    from shared.storage.settings import StorageSettings

    found: dict[str, object] = {}
    for settings in (connection.runtime_settings(), StorageSettings(), WeightsSettings(), LocalSettings()):
        for name, value in settings.model_dump(mode="json").items():
            if value is not None:
                found.setdefault(name, HIDDEN if SECRET.search(name) else value)
    for engine, spec in engine_specs().items():
        if spec.settings is not None:
            values = engine_settings(engine).model_dump(mode="json").items()
            found.update({f"{engine}_{name}": value for name, value in values if value is not None})
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
    """Print lines for a shell with which boto3, librdkafka and OpenTelemetry reach the stack. Prints secrets.

    Variables of another store's that would be in the way are unset. Raises Unreachable when no local stack runs and the
    environment names none.
    """
    before = set(os.environ)
    connection.locate()
    for name in sorted(before - set(os.environ)):
        console.say(f"unset {name}")
    for name, value in sorted(os.environ.items()):
        # A name that no shell would take is none of ours, and might be taken for a command.
        if PASSED_ON.match(name) and name.isascii() and name.isidentifier():
            console.say(f"export {name}={_quoted(value)}")


def _quoted(value: str) -> str:
    r"""For a shell. What the console would not print as it is becomes ``"$(printf '\033')"``: but for line ends at the
    very end of a value, every shell makes the same bytes of it."""
    if value.isprintable():
        return shlex.quote(value)
    plain = set(range(0x20, 0x7F)) - set(b"'\\%-")
    return "\"$(printf '" + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in os.fsencode(value)) + "')\""
