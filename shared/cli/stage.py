"""``lipstage stage``: runs a container's program, on the engine's Python and with the local stack's addresses."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from shared.cli import environment
from shared.cli.errors import BadUse, CliError
from shared.local.engine_python import engine_python
from shared.local.errors import StackError
from shared.local.installation import import_path
from shared.messages.pipeline import GATEWAY, PROJECTION, WEBHOOKS
from shared.runtime.host.stage_settings import UnknownService, stage_settings

_MODULES = {
    PROJECTION: "stages.gateway.projection",
    GATEWAY: "stages.gateway",
    WEBHOOKS: "stages.gateway.webhooks",
}
"""Services that are no stages: each has a program of its own."""


def run(name: str, engine: str | None) -> NoReturn:
    """Replace this process by ``python -m shared.runtime``; ``engine`` None is LIPSTAGE_ENGINE's, for infer.

    Raises BadUse, Unreachable, CliError.
    """
    if name in _MODULES:
        _replace(Path(sys.executable), _MODULES[name])
    try:
        settings = stage_settings(name, engine, in_this_process=False)
    except UnknownService as error:
        raise BadUse(str(error)) from None
    python, arguments = Path(sys.executable), [name]
    if name == "infer":
        arguments += ["--engine", settings.engine]
        try:
            python = engine_python(settings.engine)
        except StackError as error:
            raise CliError(f"{error.code}: {error.message}") from None
    _replace(python, "shared.runtime", *arguments)


def _replace(python: Path, *module: str) -> NoReturn:
    """Replace this process by ``python -m MODULE ARGUMENTS``. Raises Unreachable."""
    variables = environment.of_deployment()
    variables |= import_path(variables)
    os.execve(python, [str(python), "-P", "-m", *module], variables)
