"""Runs one stage in the foreground: ``python -m shared.runtime STAGE [--engine ENGINE]``, the command of a container.

Exit status: 0 after SIGTERM or SIGINT, 1 for a failure that a new process may overcome, 2 for wrong arguments or
settings.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import structlog
from botocore.exceptions import BotoCoreError
from pydantic_settings import BaseSettings

from shared.messages.pipeline import STAGES
from shared.runtime.engine_settings import settings_models
from shared.runtime.host.stage_service import serve
from shared.runtime.host.stage_settings import UnknownService, stage_settings
from shared.runtime.host.weights import WeightsSettings, worker_variables
from shared.runtime.kafka_config import base
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settings_variables import faults
from shared.storage.client import connect
from shared.storage.settings import StorageSettings
from shared.telemetry import logs

log = structlog.get_logger()

BAD_USE = 2
SETTINGS: tuple[type[BaseSettings], ...] = (RuntimeSettings, StorageSettings, WeightsSettings, *settings_models())


class WrongSetting(Exception):
    """A setting parses, and what it names can't be used; the message names the variable."""


class _Parser(argparse.ArgumentParser):
    """Raises for wrong arguments, instead of writing the usage."""

    def error(self, message: str) -> NoReturn:
        raise UnknownService(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the stage that the arguments name until SIGTERM, SIGINT or a failure; returns the exit status."""
    parser = _Parser(prog="python -m shared.runtime", description="Run one stage service.")
    parser.add_argument("stage", metavar="STAGE", help="audio, face, infer or encode")
    parser.add_argument("--engine", metavar="ENGINE", help="for infer: the engine it runs; default: LIPSTAGE_ENGINE")
    logs.setup("lipstage")  # Until the stage is known, so that wrong use is a log line, too.
    try:
        options = parser.parse_args(arguments)
        return run(options.stage, options.engine)
    except (UnknownService, WrongSetting) as error:
        lines = [str(error)]
    except ValueError as error:
        if not (lines := faults(error, SETTINGS)):
            raise
    for line in lines:
        log.error("wrong_use", reason=line)
    return BAD_USE


def check_settings(settings: RuntimeSettings) -> None:
    """Read what the settings name, before any client connects: files, endpoint, credentials' profile, folder.

    Raises ValueError for a setting that does not parse, WrongSetting for one that can't be used.
    """
    storage = StorageSettings()
    try:
        base(settings, "check")
    except (OSError, ValueError) as error:
        raise WrongSetting(f"KAFKA_PROPERTIES_FILE: {_reason(error)}") from error
    try:
        if storage.cache_key is not None or storage.cache_key_file is not None:
            storage.cache_secret  # noqa: B018 - read now, and not when the first task needs it
    except OSError as error:
        raise WrongSetting(f"LIPSTAGE_CACHE_KEY_FILE: {_reason(error)}") from error
    except ValueError as error:
        raise WrongSetting(f"LIPSTAGE_CACHE_KEY: {error}") from error
    try:
        connect(storage)
    except (BotoCoreError, ValueError) as error:
        raise WrongSetting(f"AWS_*: {error}") from error
    if settings.scratch_dir is not None and not os.access(settings.scratch_dir, os.W_OK | os.X_OK):
        raise WrongSetting("LIPSTAGE_SCRATCH_DIR: not a folder that this process may write to")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def run(stage: str, engine: str | None) -> int:
    """Serve ``stage``; returns the exit status. ``engine`` is for infer; None selects that of LIPSTAGE_ENGINE.

    Raises UnknownService, WrongSetting, and ValueError for settings that do not parse.
    """
    if stage in STAGES:
        logs.setup(stage)
    settings = stage_settings(stage, engine)
    check_settings(settings)
    fetch = worker_variables(settings.engine) if stage == "infer" else None
    return serve(stage, settings, fetch=fetch)


if __name__ == "__main__":
    sys.exit(main())
