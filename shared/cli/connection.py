"""Where the stack is, and clients to it: the environment's own broker and store, else the local stack."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from shared.cli.errors import Unreachable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from shared.local.stack_file import Stack
    from shared.runtime.settings import RuntimeSettings
    from shared.storage.artifacts import ArtifactStore
    from shared.storage.documents import DocumentStore
    from shared.storage.settings import StorageSettings
    from shared.telemetry.tracing import Tracing

ANSWER_S = 8.0
HINT = "start one here with `lipstage up`, or name yours by KAFKA_BOOTSTRAP_SERVERS and AWS_ENDPOINT_URL_S3"


def adopt(stack: "Stack") -> None:
    """Make the local stack this process's environment: boto3, OpenTelemetry and our settings read it from there."""
    from shared.local.infrastructure import credentials_of
    from shared.local.pdeathsig_launcher import OTHER_CREDENTIALS

    os.environ.update(stack.environment(credentials_of(stack)))
    if not stack.own_store:
        for name in OTHER_CREDENTIALS:
            os.environ.pop(name, None)


def locate() -> None:
    """Have the environment name a broker and a store, and where traces go.

    What it leaves out is the running local stack's, unless broker or store are others than that stack's. Raises
    Unreachable when there is neither.
    """
    from shared.local import stack
    from shared.local.addresses import is_own
    from shared.local.settings import LocalSettings

    settings = LocalSettings()
    broker, store, traces = settings.kafka_bootstrap_servers, settings.s3_endpoint_url, settings.otlp_endpoint
    if broker and store and traces:
        return
    running = stack.running(settings)
    if running is None:
        if not broker and not store:
            raise Unreachable("no stack is running here", HINT)
    elif not is_own(broker, running.bootstrap_servers, False) and not is_own(store, running.s3_endpoint_url, False):
        adopt(running)
        if traces:
            os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = traces


def locate_store() -> None:
    """As ``locate``; without a stack here boto3 finds the store and the credentials as it always does."""
    with suppress(Unreachable):
        locate()


def runtime_settings() -> "RuntimeSettings":
    """The runtime's settings."""
    from shared.runtime.settings import RuntimeSettings

    return RuntimeSettings()


@dataclass(frozen=True)
class Connection:
    """Clients to one deployment, made when first used."""

    settings: "RuntimeSettings"
    storage_settings: "StorageSettings"
    store_attempts: int = 4
    store_read_s: float = 10.0

    @cached_property
    def s3(self) -> "S3Client":
        """The store's client."""
        from shared.storage.client import connect as connect_store

        return connect_store(self.storage_settings, attempts=self.store_attempts, read_timeout_s=self.store_read_s)

    @cached_property
    def brief(self) -> "Connection":
        """The same deployment; its store is asked once and for 3 s, where other work must not wait for an answer."""
        return replace(self, store_attempts=1, store_read_s=3.0)

    @cached_property
    def artifacts(self) -> "ArtifactStore":
        """Artifacts by reference."""
        from shared.storage.artifacts import ArtifactStore

        return ArtifactStore(self.s3, self.storage_settings)

    @cached_property
    def documents(self) -> "DocumentStore":
        """Small JSON documents of the artifact bucket."""
        from shared.storage.documents import DocumentStore

        return DocumentStore(self.s3, self.storage_settings)

    @cached_property
    def tracing(self) -> "Tracing":
        """This process's tracing, service.name ``cli``."""
        from shared import __version__
        from shared.telemetry.tracing import setup

        return setup("cli", __version__)

    @cached_property
    def producer(self) -> Any:
        """The instrumented producer: what it sends is a span of the current trace."""
        from shared.runtime.kafka_config import producer_config
        from shared.telemetry.clients import traced_producer

        config = quiet(producer_config(self.settings, "cli"))
        return traced_producer(self.tracing, config | {"delivery.timeout.ms": 30_000})

    def consumer(self, more: Mapping[str, Any] = MappingProxyType({})) -> Any:
        """A new consumer for explicit assignment: no group is joined, nothing is committed. ``more`` wins."""
        from shared.runtime.kafka_config import base
        from shared.telemetry.clients import raw_consumer

        return raw_consumer(
            {
                "group.id": self.settings.group("cli"),
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
                "allow.auto.create.topics": False,
            }
            | quiet(base(self.settings, "cli"))
            | dict(more)
        )


def quiet(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without librdkafka's own lines on the user's terminal; errors still reach the caller."""
    return {**config, "log_level": 0, "error_cb": lambda _: None}


def connect() -> Connection:
    """Clients to the stack, once broker and store have both answered a real request. Raises Unreachable."""
    locate()
    return reached()


def reached() -> Connection:
    """As ``connect``, when the environment names the stack already."""
    from botocore.exceptions import BotoCoreError, ClientError
    from confluent_kafka import KafkaException

    from shared.runtime.admin_process import START_S, AdminProcess
    from shared.storage.settings import StorageSettings

    connection = Connection(runtime_settings(), StorageSettings())
    broker = AdminProcess(connection.settings, "answers", ANSWER_S + START_S, timeout_s=ANSWER_S)
    try:
        from shared.storage import client as _  # noqa: F401 - its libraries load while the broker is asked

        broker.result()
    except KafkaException:
        raise Unreachable(f"no Kafka broker answers at {connection.settings.bootstrap_servers}", HINT) from None
    bucket = connection.storage_settings.bucket
    try:
        connection.s3.head_bucket(Bucket=bucket)
    except ClientError as e:
        status = e.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        reason = {404: "does not exist", 403: "may not be used with these credentials"}.get(status or 0, f"answers {e}")
        raise Unreachable(f"the bucket {bucket} {reason}", "check AWS_* and LIPSTAGE_BUCKET") from None
    except BotoCoreError as e:
        where = os.environ.get("AWS_ENDPOINT_URL_S3", "the default S3 endpoint")
        raise Unreachable(f"the object store does not answer at {where} ({type(e).__name__})", HINT) from None
    return connection
