"""Whether what the variables name can be used: files, endpoint, credentials' profile, folder, address.

Commands read it: libraries are imported by the checks that need them, and only when a variable for them is set.
"""

import os
import socket
from collections.abc import Callable, Iterator

from pydantic import ValidationError
from pydantic_settings import SettingsError

from shared import __version__
from shared.runtime.kafka_config import UNLOGGED, base, consumer_config, producer_config
from shared.runtime.policy_settings import PolicySettings
from shared.runtime.settings import RuntimeSettings
from shared.runtime.settings_variables import assignment, only, unusable
from shared.runtime.tenant_settings import MISSING, TenantSettings
from shared.slot.confinement import probe
from shared.storage.settings import StorageSettings

UNUSED_ENDPOINT = "http://127.0.0.1:9"
"""No span is exported: the exporter is only made, because that reads its variables."""


def named_faults(*, tenant_keys: bool = True) -> list[str]:
    """A line for each variable that names something that can't be used on this machine; nothing is contacted.
    ``tenant_keys``: whether the service verifies signatures of tenants.

    Every check reads its own variables alone, and is left out when one of them has a wrong form: that is another line.
    """
    checks = (_kafka, _tenants, _cache, _scratch, _quotas, _health, _traces, _pod)
    return [line for one in checks if tenant_keys or one is not _tenants for line in _lines(one)]


def signer_faults() -> list[str]:
    """A line when the signer of the videos' manifests can't be used, or the settings ask for one and name none."""
    return _lines(_signer)


def store_faults() -> list[str]:
    """A line when a variable or file of boto3 keeps it from making a client; nothing is contacted."""
    return _lines(_store)


def confinement_faults() -> list[str]:
    """A line for each part of the confinement of workers that is required and that this machine does not have."""
    return _lines(_confinement)


def _lines(one: Callable[[], Iterator[str]]) -> list[str]:
    try:
        return list(one())
    except (ValidationError, SettingsError):
        return []


def _kafka() -> Iterator[str]:
    """The properties file, by a client of each kind that a service makes: librdkafka checks all values at once."""
    settings = only(RuntimeSettings, "kafka_properties_file", "bootstrap_servers")
    if settings.kafka_properties_file is None:
        return
    from confluent_kafka import Consumer, KafkaException, Producer
    from confluent_kafka.admin import AdminClient

    try:
        AdminClient(base(settings, "check") | UNLOGGED)
        Producer(producer_config(settings, "check") | UNLOGGED)
        Consumer(consumer_config(settings, "check", "check", "classic") | UNLOGGED).close()
    except KafkaException as error:
        yield unusable("KAFKA_PROPERTIES_FILE", ValueError(error.args[0].str()))
    except (OSError, ValueError) as error:
        yield unusable("KAFKA_PROPERTIES_FILE", error)


def _tenants() -> Iterator[str]:
    settings = only(RuntimeSettings, "tenancy")
    try:
        if not TenantSettings().keys() and settings.tenancy == "signed":
            yield f"LIPSTAGE_TENANT_KEY: {MISSING}"
    except OSError as error:
        yield unusable("LIPSTAGE_TENANT_KEY_FILE", error)
    except ValueError as error:
        yield f"LIPSTAGE_TENANT_KEY: {error}"


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


def _confinement() -> Iterator[str]:
    if only(RuntimeSettings, "confinement").confinement == "required":
        try:
            missing = probe.missing()
        except OSError as error:
            missing = (str(error),)
        yield from (f"{assignment('LIPSTAGE_CONFINEMENT')}: {line}" for line in missing)


def _quotas() -> Iterator[str]:
    path = only(RuntimeSettings, "quotas_file").quotas_file
    if path is not None:
        from shared.messages.quotas import InvalidQuotas, read_quotas

        try:
            read_quotas(path)
        except (OSError, InvalidQuotas) as error:
            yield unusable("LIPSTAGE_QUOTAS_FILE", error)


def _health() -> Iterator[str]:
    if not _is_own_address(only(RuntimeSettings, "health_host").health_host):
        yield f"{assignment('LIPSTAGE_HEALTH_HOST')}: not an address of this machine (IPv4)"


def _pod() -> Iterator[str]:
    settings = only(RuntimeSettings, "pod_deletion_cost", "pod_name", "pod_namespace")
    if settings.pod_deletion_cost:
        from shared.runtime.host.pod_deletion_cost import Pod

        try:
            Pod.of(settings.pod_name, settings.pod_namespace, os.environ)
        except ValueError as error:
            yield unusable("LIPSTAGE_POD_DELETION_COST", error)


def _signer() -> Iterator[str]:
    from shared.runtime.execute.provenance import Provenance

    try:
        Provenance.open(PolicySettings())
    except OSError as error:
        yield f"LIPSTAGE_C2PA_*: {error.strerror}: {error.filename}"
    except ValidationError:
        raise
    except ValueError as error:
        yield f"LIPSTAGE_C2PA_*: {error}"


def _traces() -> Iterator[str]:
    if not any(name.startswith("OTEL_") for name in os.environ):
        return
    from shared.telemetry import tracing

    try:
        tracing.setup("check", __version__, endpoint=UNUSED_ENDPOINT).shutdown()
    except ValueError as error:
        yield f"OTEL_*: {error}"


def _store() -> Iterator[str]:
    from botocore.exceptions import BotoCoreError

    from shared.storage.client import connect

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
