"""The environment of a deployment's programs, and variables that do not parse."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

HINT = "correct or unset it; `lipstage config` lists all variables"


def of_deployment() -> dict[str, str]:
    """The whole environment of a program that talks to the deployment: this process's, completed by the local stack.

    Raises Unreachable when no stack runs here and the environment names no deployment.
    """
    from shared.cli.errors import START, Unreachable
    from shared.local.deployment import find_environment
    from shared.local.settings import LocalSettings

    environment = find_environment(LocalSettings())
    if environment is None:
        raise Unreachable("no stack is running here", START)
    return environment


def warn_of_unknown_variables() -> None:
    """Print a line for each of our variables that nothing reads: its value would be ignored without a word."""
    from shared.cli import console
    from shared.local.variables import unknown

    for name, nearest in unknown(os.environ).items():
        meant = f"did you mean {nearest}?" if nearest else "`lipstage config` lists all variables"
        console.note(console.warning("warning: "), f"{name} is not a setting: {meant}")


def faults(error: ValueError) -> list[str]:
    """One line for each variable that ``error`` is about; empty for an error that is about none."""
    from shared.runtime import settings_variables

    return settings_variables.faults(error, _models())


def _models() -> "tuple[type[BaseSettings], ...]":
    from shared.local.settings import LocalSettings
    from shared.runtime.host.settings_models import all_models

    return LocalSettings, *all_models()
