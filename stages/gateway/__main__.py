"""Runs the gateway in the foreground: ``python -m stages.gateway``.

Exit status: 0 after SIGTERM or SIGINT, 1 for a failure that a new process may overcome, 2 for wrong settings.
"""

import ipaddress
import os
import sys

import structlog

from shared.access.api_keys import KeyFileInvalid
from shared.local.extras import explain
from shared.runtime.host.settings_check import named_faults
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settings_variables import check
from shared.runtime.variable_names import to_upper_case
from shared.storage.settings import StorageSettings
from shared.telemetry import logs
from stages.gateway.settings import GatewaySettings
from stages.gateway.webhooks.settings import WebhookSettings

BAD_USE = 2
log = structlog.get_logger()


def main() -> int:
    """Serve until SIGTERM, SIGINT or a failure; returns the exit status."""
    logs.setup("gateway")
    to_upper_case(os.environ)
    lines = [*check((RuntimeSettings, StorageSettings, GatewaySettings, WebhookSettings)), *named_faults()]
    try:
        # They need the packages of the extra.
        from stages.gateway.caller import Keys
        from stages.gateway.service import serve
    except ModuleNotFoundError as e:
        lines.append(explain(e.name or "") or str(e))
    if not lines:
        options = GatewaySettings()
        if options.keys_file is None and not _is_loopback(options.host):
            lines.append("LIPSTAGE_GATEWAY_HOST: another address than the loopback needs LIPSTAGE_GATEWAY_KEYS_FILE,"
                         " because without keys everyone may do everything")  # fmt: skip
        elif options.keys_file is not None:
            try:
                Keys(options.keys_file)
            except (KeyFileInvalid, OSError) as e:
                lines.append(f"LIPSTAGE_GATEWAY_KEYS_FILE: {e}")
    if lines:
        for line in lines:
            # The scrubbing of logs hides words with a slash: the name stays visible as a word of its own.
            log.error("wrong_use", reason=line.replace("=", " = ", 1))
        return BAD_USE
    return serve(RuntimeSettings(), GatewaySettings())


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())
