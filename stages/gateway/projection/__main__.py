"""Runs the projection in the foreground: ``python -m stages.gateway.projection``.

Exit status: 0 after SIGTERM or SIGINT, 1 for a failure that a new process may overcome, 2 for wrong settings.
"""

import os
import sys

import structlog

from shared.local.extras import explain
from shared.messages.pipeline import PROJECTION
from shared.runtime.host.settings_check import named_faults
from shared.runtime.kafka_config import base
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settings_variables import check
from shared.runtime.variable_names import to_upper_case
from shared.storage.settings import StorageSettings
from shared.telemetry import logs
from stages.gateway.projection.settings import ProjectionSettings

BAD_USE = 2
log = structlog.get_logger()


def main() -> int:
    """Serve until SIGTERM, SIGINT or a failure; returns the exit status."""
    logs.setup(PROJECTION)
    to_upper_case(os.environ)
    lines = [*check((RuntimeSettings, StorageSettings, ProjectionSettings)), *named_faults()]
    try:
        # They need the packages of the extra.
        from stages.gateway.projection.broker_access import UnsupportedProperty, broker_access
        from stages.gateway.projection.service import serve
    except ModuleNotFoundError as e:
        lines.append(explain(e.name or "") or str(e))
    if not lines:
        try:
            broker_access(base(RuntimeSettings(), PROJECTION))
        except UnsupportedProperty as e:
            lines.append(f"KAFKA_PROPERTIES_FILE: {e}")
    if lines:
        for line in lines:
            # The scrubbing of logs hides words with a slash: the name stays visible as a word of its own.
            log.error("wrong_use", reason=line.replace("=", " = ", 1))
        return BAD_USE
    return serve(RuntimeSettings(), ProjectionSettings())


if __name__ == "__main__":
    sys.exit(main())
