"""The environment of a deployment's programs, and variables that do not parse."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

HINT = "correct or unset it; docs/configuration.md lists all variables"


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


def faults(error: ValueError) -> list[str]:
    """One line for each variable that ``error`` is about; empty for an error that is about none."""
    from shared.runtime import settings_variables

    return settings_variables.faults(error, _models())


def _models() -> "tuple[type[BaseSettings], ...]":
    from shared.local.settings import LocalSettings
    from shared.runtime.engine_settings import settings_models
    from shared.runtime.host.weights import WeightsSettings
    from shared.runtime.settings import RuntimeSettings
    from shared.storage.settings import StorageSettings

    return LocalSettings, RuntimeSettings, StorageSettings, WeightsSettings, *settings_models()
