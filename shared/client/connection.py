"""Kafka, S3 and tracing clients of one deployment, each made when it is first used."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from confluent_kafka import KafkaError, KafkaException

from shared import __version__
from shared.client.deployment import Deployment
from shared.client.errors import BrokerUnreachable, BucketUnusable, InvalidDeployment, StoreUnreachable
from shared.messages.topics import MAX_DEAD_LETTER_BYTES
from shared.runtime.admin_process import START_S, AdminProcess
from shared.runtime.kafka_config import base, producer_config, reader_config
from shared.runtime.settings import RuntimeSettings
from shared.storage.artifacts import ArtifactStore
from shared.storage.client import connect as connect_store
from shared.storage.documents import DocumentStore
from shared.storage.settings import StorageSettings
from shared.telemetry import tracing
from shared.telemetry.clients import raw_consumer, raw_producer, traced_producer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ANSWER_S = 8.0
"""How long ``check`` waits for the broker."""
DELIVERY_TIMEOUT_MS = 30_000
FLUSH_S = 5.0


@dataclass(frozen=True)
class Connection:
    """Clients of one deployment. Not thread-safe."""

    deployment: Deployment
    service_name: str = "client"
    """Of the client's spans (``service.name``) and Kafka clients."""
    store_attempts: int = 4
    store_read_s: float = 10.0

    @property
    def settings(self) -> RuntimeSettings:
        """Broker and topic prefix."""
        return self.deployment.runtime

    @property
    def storage_settings(self) -> StorageSettings:
        """Buckets."""
        return self.deployment.storage

    def topic(self, name: str) -> str:
        """The topic's full name."""
        return self.settings.topic(name)

    @cached_property
    def s3(self) -> "S3Client":
        """The object store's client."""
        try:
            return connect_store(
                self.storage_settings,
                access=self.deployment.s3,
                attempts=self.store_attempts,
                read_timeout_s=self.store_read_s,
            )
        except ValueError as e:
            raise InvalidDeployment(f"the object store's endpoint can't be used: {e}", "see AWS_*") from None
        except BotoCoreError as e:  # A profile that does not exist.
            raise StoreUnreachable(f"the object store can't be used: {e} ({type(e).__name__})") from None

    @cached_property
    def fail_fast(self) -> "Connection":
        """The same deployment; a storage request is tried once and for 3 s, where other work must not wait for it."""
        return replace(self, store_attempts=1, store_read_s=3.0)

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """Artifacts by reference."""
        return ArtifactStore(self.s3, self.storage_settings)

    @cached_property
    def documents(self) -> DocumentStore:
        """Small JSON documents of the artifact bucket."""
        return DocumentStore(self.s3, self.storage_settings)

    @cached_property
    def tracing(self) -> tracing.Tracing:
        """Tracer of this client."""
        try:
            place = self.deployment
            return tracing.setup(
                self.service_name, __version__, endpoint=place.otlp_endpoint, protocol=place.otlp_protocol
            )
        except ValueError as e:
            raise InvalidDeployment(f"spans can't be exported: {e}", "see OTEL_EXPORTER_OTLP_*") from None

    @cached_property
    def producer(self) -> Any:
        """The instrumented producer: each record it sends is a span of the current trace."""
        with _kafka_properties():
            config = _quiet(producer_config(self.settings, self.service_name))
            return traced_producer(self.tracing, config | {"delivery.timeout.ms": DELIVERY_TIMEOUT_MS})

    @cached_property
    def raw_producer(self) -> Any:
        """A producer that sends records exactly as given, dead letters of any size included, in batches."""
        with _kafka_properties():
            config = _quiet(producer_config(self.settings, self.service_name))
            return raw_producer(
                config
                | {
                    "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                    "linger.ms": 5,
                    "message.max.bytes": MAX_DEAD_LETTER_BYTES,
                    "queue.buffering.max.kbytes": 64 << 10,
                }
            )

    def consumer(self, overrides: Mapping[str, Any] = MappingProxyType({})) -> Any:
        """A new consumer for explicit assignment: it joins no group and commits nothing."""
        with _kafka_properties():
            config = _quiet(reader_config(self.settings, self.service_name, self.settings.group(self.service_name)))
            return raw_consumer({**config, "enable.partition.eof": True, **overrides})

    def check(self, *, store: bool = True) -> None:
        """Send one real request to the broker and, with ``store``, one to the object store.

        Raises BrokerUnreachable, StoreUnreachable, BucketUnusable, InvalidDeployment.
        """
        with _kafka_properties():
            servers = base(self.settings, self.service_name)["bootstrap.servers"]
        broker = AdminProcess(self.settings, "answers", ANSWER_S + START_S, timeout_s=ANSWER_S)
        try:
            broker.result()
        except KafkaException as e:
            if e.args[0].code() == KafkaError._INVALID_ARG:
                raise _invalid_properties(e) from None
            raise BrokerUnreachable(f"no Kafka broker answers at {servers}: {e.args[0].str()}") from None
        if not store:
            return
        bucket = self.storage_settings.bucket
        try:
            self.s3.head_bucket(Bucket=bucket)
        except ClientError as e:
            status = e.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            reason = {404: "does not exist", 403: "may not be used with these credentials"}.get(status, f"answers {e}")
            raise BucketUnusable(f"the bucket {bucket} {reason}") from None
        except BotoCoreError as e:
            url = self.deployment.s3.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3", "the default S3 endpoint")
            raise StoreUnreachable(f"the object store does not answer at {url} ({type(e).__name__})") from None

    def close(self) -> None:
        """Send what is buffered, records for 5 s and spans for 3 s at most."""
        for name in ("producer", "raw_producer"):
            if name in self.__dict__:
                self.__dict__[name].flush(FLUSH_S)
        if "tracing" in self.__dict__:
            self.tracing.shutdown()


@contextmanager
def _kafka_properties() -> Iterator[None]:
    """Raises InvalidDeployment for properties that can't be read, or that the Kafka client refuses."""
    try:
        yield
    except KafkaException as e:
        raise _invalid_properties(e) from None
    except OSError as e:
        raise InvalidDeployment(f"KAFKA_PROPERTIES_FILE can't be read: {e.strerror}") from None
    except ValueError as e:
        raise InvalidDeployment(f"KAFKA_PROPERTIES_FILE can't be read: {e}") from None


def _invalid_properties(error: KafkaException) -> InvalidDeployment:
    return InvalidDeployment(
        f"the Kafka client can't be made: {error.args[0].str()}", "see KAFKA_BOOTSTRAP_SERVERS, KAFKA_PROPERTIES_FILE"
    )


def _quiet(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without librdkafka's own lines on stderr; errors still reach the caller."""
    return {**config, "log_level": 0, "error_cb": lambda _: None}
