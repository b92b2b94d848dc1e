"""What stage and topics do, once their options are read."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from shared.cli import console
from shared.cli.connection import connect, locate
from shared.cli.errors import BadUse, CliError, ExitCode
from shared.messages.pipeline import STAGES

ADMIN_S = 120.0
"""The longest that making the topics may take."""
BECAME = "_LIPSTAGE_BECAME"
"""In the environment of a command that changed over to an engine's Python: which one, for it does so once."""


def stage(name: str, engine: str | None) -> int:
    """Serve one stage until it is told to stop; the service's own exit status. Raises BadUse, Unreachable.

    ``engine`` None is LIPSTAGE_ENGINE's, for infer.
    """
    from shared.messages.engines import ENGINE_PARAMS

    if name not in STAGES:
        raise BadUse(f"there is no stage {name!r}", f"stages are {', '.join(STAGES)}")
    if engine is not None and name != "infer":
        raise BadUse(f"--engine is for infer; {name} serves every engine")
    if name == "infer" and engine is None:
        from shared.runtime.settings import RuntimeSettings

        engine = RuntimeSettings().engine
    if engine is not None and engine not in ENGINE_PARAMS:
        raise BadUse(f"this build has no engine {engine!r}", f"engines are {', '.join(ENGINE_PARAMS)}")
    locate()
    _in_the_environment_of(engine)
    from shared.runtime.service import serve

    return serve(name, engine, _fetching_weights(engine) if engine else None)


def _in_the_environment_of(engine: str | None) -> None:
    """Become the same command on the engine's own Python, where it has one. Raises CliError."""
    from shared.local.engine_python import engine_python
    from shared.local.errors import StackError
    from shared.local.settings import CHECKOUT

    if engine is None:
        return
    try:
        python = engine_python(engine)
    except StackError as e:
        raise CliError(f"{e.code}: {e.message}") from None
    # An environment's Python is a link to a common one: their folders tell them apart. A script that starts another
    # Python is told by what it was started with.
    became = os.environ.pop(BECAME, None) == str(python)
    if not became and python.parent.resolve() != Path(sys.executable).parent.resolve():
        path = os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])
        argv = [str(python), "-m", "shared.cli.main", "stage", "infer", "--engine", engine]
        os.execve(python, argv, {**os.environ, "PYTHONPATH": path, BECAME: str(python)})


def _fetching_weights(engine: str) -> Callable[[], None] | None:
    """Before an engine is loaded: have its weights here, where they lie in a store; None for one that ships them.

    Raises ValueError for a setting that is none. What is fetched for raises HandlerUnavailable, which anybody may read
    on the health port: it names neither the bucket nor a folder.
    """
    from shared.local import engine_weights
    from shared.runtime.worker_process import HandlerUnavailable
    from shared.storage.errors import StorageError

    if engine_weights.catalogue(engine) is None:
        return None
    settings = engine_weights.WeightsSettings()

    def fetch() -> None:
        try:
            engine_weights.prepare(engine, settings.sonic_weights, settings)
        except StorageError as e:
            raise HandlerUnavailable(f"weights: {e.code}: {e}") from e
        except OSError as e:
            reason = e.strerror or type(e).__name__
            raise HandlerUnavailable(f"weights: the folder of LIPSTAGE_WEIGHTS_CACHE: {reason}") from e

    return fetch


def topics_diff(as_json: bool) -> ExitCode:
    """Print the differences between wanted and found topics."""
    changes = _changes("diff")
    _print_changes(changes, as_json, "the topics are as they should be")
    return ExitCode.FAILED if changes else ExitCode.DONE


def topics_apply(as_json: bool) -> None:
    """Make the broker's topics what they should be, and print what was changed."""
    _print_changes(_changes("apply"), as_json, "nothing to change")


def _changes(request: str) -> list[dict[str, str]]:
    """What the request of that name says. Raises CliError when the broker refuses, or goes away meanwhile."""
    from confluent_kafka import KafkaException

    from shared.runtime import admin_process

    settings = connect().settings
    try:
        changes: list[dict[str, str]] = admin_process.ask(settings, request, ADMIN_S)
    except KafkaException as e:
        raise CliError(f"the broker refuses: {e.args[0].str()}") from None
    return changes


def _print_changes(changes: list[dict[str, str]], as_json: bool, none: str) -> None:
    if as_json:
        console.emit_json(changes)
    elif not changes:
        console.say(none)
    else:
        console.table(("TOPIC", "CHANGE", "WANTED", "FOUND"), [tuple(c.values()) for c in changes])
