"""Whether what the variables name can be used: files, endpoint, credentials' profile, folder, address."""

import os
import socket
from collections.abc import Callable, Iterator

from botocore.exceptions import BotoCoreError
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from pydantic import ValidationError
from pydantic_settings import SettingsError

from shared import __version__
from shared.runtime.kafka_config import UNLOGGED, base, consumer_config, producer_config
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settings_variables import assignment, only, unusable
from shared.storage.client import connect
from shared.storage.settings import StorageSettings
from shared.telemetry import tracing

UNUSED_ENDPOINT = "http://127.0.0.1:9"
"""No span is exported: the exporter is only made, because that reads its variables."""


def named_faults() -> list[str]:
    """A line for each variable that names something that can't be used on this machine; nothing is contacted.

    Every check reads its own variables alone, and is left out when one of them has a wrong form: that is another line.
    """
    return [line for one in (_kafka, _cache, _scratch, _health, _traces) for line in _lines(one)]


def store_faults() -> list[str]:
    """A line when a variable or file of boto3 keeps it from making a client; nothing is contacted."""
    return _lines(_store)


def _lines(one: Callable[[], Iterator[str]]) -> list[str]:
    try:
        return list(one())
    except (ValidationError, SettingsError):
        return []


def _kafka() -> Iterator[str]:
    """The properties file, by a client of each kind that a service makes: librdkafka checks all values at once."""
    settings = only(RuntimeSettings, "kafka_properties_file", "bootstrap_servers")
    try:
        AdminClient(base(settings, "check") | UNLOGGED)
        Producer(producer_config(settings, "check") | UNLOGGED)
        Consumer(consumer_config(settings, "check", "check", "classic") | UNLOGGED).close()
    except KafkaException as error:
        yield unusable("KAFKA_PROPERTIES_FILE", ValueError(error.args[0].str()))
    except (OSError, ValueError) as error:
        yield unusable("KAFKA_PROPERTIES_FILE", error)


def _cache() -> Iterator[str]:
    storage = only(StorageSettings, "cache_key", "cache_key_file")
    try:
        if storage.cache_key is not None or storage.cache_key_file is not None:
            storage.cache_secret  # noqa: B018 - read now, and not when the first task needs it
    except OSError as error:
        yield unusable("LIPSTAGE_CACHE_KEY_FILE", error)
    except ValueError as error:
        yield f"LIPSTAGE_CACHE_KEY: {error}"


def _scratch() -> Iterator[str]:
    folder = only(RuntimeSettings, "scratch_dir").scratch_dir
    if folder is not None and not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        yield f"{assignment('LIPSTAGE_SCRATCH_DIR')}: not a folder that this process may write to"


def _health() -> Iterator[str]:
    if not _is_own_address(only(RuntimeSettings, "health_host").health_host):
        yield f"{assignment('LIPSTAGE_HEALTH_HOST')}: not an address of this machine (IPv4)"


def _traces() -> Iterator[str]:
    try:
        tracing.setup("check", __version__, endpoint=UNUSED_ENDPOINT).shutdown()
    except ValueError as error:
        yield f"OTEL_*: {error}"


def _store() -> Iterator[str]:
    try:
        connect(only(StorageSettings, "s3_addressing", "s3_connections"))
    except (ValidationError, SettingsError):
        raise
    except (BotoCoreError, ValueError) as error:
        yield f"AWS_*: {error}"


def _is_own_address(host: str) -> bool:
    """Whether the health server, which is one of IPv4, can listen there; asks no name server about an address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 0, socket.AF_INET, socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
    except (OSError, UnicodeError):
        return False
    return True
