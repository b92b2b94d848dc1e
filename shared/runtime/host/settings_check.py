"""Whether what the settings name can be used: files, endpoint, credentials' profile, folder, address."""

import os
import socket

from botocore.exceptions import BotoCoreError

from shared import __version__
from shared.runtime.kafka_config import base
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settings_variables import InvalidSettings, assignment
from shared.storage.client import connect
from shared.storage.settings import StorageSettings
from shared.telemetry import tracing

UNUSED_ENDPOINT = "http://127.0.0.1:9"
"""No span is exported: the exporter is only made, because that reads its variables."""


def check_settings(settings: RuntimeSettings) -> None:
    """Check what the settings name, before any client connects. Raises InvalidSettings, with a line for each fault."""
    storage = StorageSettings()
    lines = unusable(settings, storage)
    try:
        connect(storage)
    except (BotoCoreError, ValueError) as error:
        lines.append(f"AWS_*: {error}")
    if lines:
        raise InvalidSettings(lines)


def unusable(settings: RuntimeSettings, storage: StorageSettings) -> list[str]:
    """One line for each variable that parses and names something that can't be used on this machine."""
    lines = []
    try:
        base(settings, "check")
    except (OSError, ValueError) as error:
        lines.append(f"{assignment('KAFKA_PROPERTIES_FILE')}: {_reason(error)}")
    try:
        if storage.cache_key is not None or storage.cache_key_file is not None:
            storage.cache_secret  # noqa: B018 - read now, and not when the first task needs it
    except OSError as error:
        lines.append(f"{assignment('LIPSTAGE_CACHE_KEY_FILE')}: {_reason(error)}")
    except ValueError as error:
        lines.append(f"LIPSTAGE_CACHE_KEY: {error}")
    if settings.scratch_dir is not None and not os.access(settings.scratch_dir, os.W_OK | os.X_OK):
        lines.append(f"{assignment('LIPSTAGE_SCRATCH_DIR')}: not a folder that this process may write to")
    if not _is_own_address(settings.health_host):
        lines.append(f"{assignment('LIPSTAGE_HEALTH_HOST')}: not an address of this machine")
    try:
        tracing.setup("check", __version__, endpoint=UNUSED_ENDPOINT).shutdown()
    except ValueError as error:
        lines.append(f"OTEL_*: {error}")
    return lines


def _is_own_address(host: str) -> bool:
    """Whether a server can listen there; asks no name server about an address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except (OSError, UnicodeError):
        return False
    return True


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
