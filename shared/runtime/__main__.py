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

from shared.messages.pipeline import RELAY, SERVICES
from shared.runtime.host.relay_service import serve_relay
from shared.runtime.host.stage_service import serve
from shared.runtime.host.stage_settings import UnknownService, stage_settings
from shared.runtime.host.weights import worker_variables
from shared.runtime.settings_variables import InvalidSettings
from shared.runtime.variable_names import to_upper_case
from shared.telemetry import logs

log = structlog.get_logger()

BAD_USE = 2


class _Parser(argparse.ArgumentParser):
    """Raises for wrong arguments, instead of writing the usage."""

    def error(self, message: str) -> NoReturn:
        raise UnknownService(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the stage that the arguments name until SIGTERM, SIGINT or a failure; returns the exit status."""
    parser = _Parser(prog="python -m shared.runtime", description="Run one stage service.")
    parser.add_argument("stage", metavar="STAGE", help="audio, face, infer, encode or relay")
    parser.add_argument("--engine", metavar="ENGINE", help="for infer: the engine it runs; default: LIPSTAGE_ENGINE")
    logs.setup("lipstage")  # Until the stage is known, so that wrong use is a log line, too.
    to_upper_case(os.environ)
    try:
        options = parser.parse_args(arguments)
        return run(options.stage, options.engine)
    except UnknownService as error:
        lines = [str(error)]
    except InvalidSettings as error:
        # The scrubbing of logs hides long words and words with a slash: the name stays visible as a word of its own.
        lines = [line.replace("=", " = ", 1) for line in error.lines]
    for line in lines:
        log.error("wrong_use", reason=line)
    return BAD_USE


def run(stage: str, engine: str | None) -> int:
    """Serve ``stage``; returns the exit status. ``engine`` is for infer; None selects that of LIPSTAGE_ENGINE.

    Raises UnknownService, InvalidSettings.
    """
    if stage in SERVICES:
        logs.setup(stage)
    settings = stage_settings(stage, engine)
    if stage == RELAY:
        return serve_relay(settings)
    fetch = worker_variables(settings.engine) if stage == "infer" else None
    return serve(stage, settings, fetch=fetch)


if __name__ == "__main__":
    sys.exit(main())
