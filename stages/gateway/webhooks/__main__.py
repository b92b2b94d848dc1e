"""Runs the delivery of webhooks in the foreground: ``python -m stages.gateway.webhooks``.

Exit status: 0 after SIGTERM or SIGINT, 1 for a failure that a new process may overcome, 2 for wrong settings.
"""

import os
import sys

import structlog

from shared.local.extras import explain
from shared.messages.pipeline import WEBHOOKS
from shared.runtime.host.settings_check import named_faults
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settings_variables import check
from shared.runtime.variable_names import to_upper_case
from shared.storage.settings import StorageSettings
from shared.telemetry import logs
from stages.gateway.webhooks.settings import WebhookSettings

BAD_USE = 2
log = structlog.get_logger()


def main() -> int:
    """Serve until SIGTERM, SIGINT or a failure; returns the exit status."""
    logs.setup(WEBHOOKS)
    to_upper_case(os.environ)
    lines = [*check((RuntimeSettings, StorageSettings, WebhookSettings)), *named_faults()]
    try:
        # They need the packages of the extra.
        from stages.gateway.webhooks.service import serve
    except ModuleNotFoundError as e:
        lines.append(explain(e.name or "") or str(e))
    if not lines and WebhookSettings().key is None:
        lines.append("LIPSTAGE_WEBHOOK_KEY: it is not set, and nothing can be signed without it")
    if lines:
        for line in lines:
            # The scrubbing of logs hides words with a slash: the name stays visible as a word of its own.
            log.error("wrong_use", reason=line.replace("=", " = ", 1))
        return BAD_USE
    return serve(RuntimeSettings(), WebhookSettings())


if __name__ == "__main__":
    sys.exit(main())
