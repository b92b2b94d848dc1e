"""Kafka, S3 and tracing clients of one deployment, each made when it is first used."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from shared.client.broker_check import BrokerCheck, kafka_properties
from shared.client.deployment import Deployment
from shared.client.errors import BucketUnusable, InvalidDeployment, StoreUnreachable
from shared.messages import tenant_signature
from shared.messages.headers import Header
from shared.messages.tenant_signature import Kind, SigningKey
from shared.messages.topics import MAX_DEAD_LETTER_BYTES
from shared.runtime.kafka_config import producer_config, reader_config
from shared.runtime.settings import RuntimeSettings
from shared.storage.settings import StorageSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from shared.storage.artifacts import ArtifactStore
    from shared.storage.documents import DocumentStore
    from shared.telemetry.tracing import Tracing

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
    _idle: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)
    """Consumers that nobody reads with."""

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

    def topic_of(self, name: str, tenant: str) -> str:
        """Full name of the topic of the tenant's requests, cancel commands or events: see `RuntimeSettings`."""
        return self.settings.topic_of(name, tenant)

    @cached_property
    def signing_keys(self) -> tuple[SigningKey, ...]:
        """The keys by which this client signs. Raises InvalidDeployment for keys that can't be read."""
        try:
            return self.deployment.tenants.keys()
        except (ValueError, OSError) as e:
            raise InvalidDeployment(f"LIPSTAGE_TENANT_KEY can't be read: {e}", "see docs/tenants.md") from None

    def signature(self, kind: Kind, tenant: str, key: bytes | None, value: bytes | None) -> list[Header]:
        """The headers by which a record speaks for the tenant; none where this client has no key for it.

        Raises InvalidDeployment where the deployment takes signed records only.
        """
        try:
            return tenant_signature.sign(self.signing_keys, kind, tenant, key, value, time.time_ns() // 1_000_000)
        except ValueError as e:
            if self.settings.tenancy != "signed":
                return []
            raise InvalidDeployment(f"the record can't be signed: {e}", "set LIPSTAGE_TENANT_KEY") from None

    @cached_property
    def s3(self) -> "S3Client":
        """The object store's client."""
        from botocore.exceptions import BotoCoreError

        from shared.storage.direct_client import connect_directly

        try:
            return connect_directly(
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
        """Tracer of this client."""
        from shared import __version__
        from shared.telemetry import tracing

        try:
            place = self.deployment
            return tracing.setup(
                self.service_name, __version__, endpoint=place.otlp_endpoint, protocol=place.otlp_protocol
            )
        except ValueError as e:
            raise InvalidDeployment(f"spans can't be exported: {e}", "see OTEL_EXPORTER_OTLP_*") from None

    @cached_property
    def producer(self) -> Any:
        """The instrumented producer: each record it sends is a span of the current trace.

        It is not idempotent: librdkafka asks for a producer id once before any broker is connected, and again 500 ms
        later, so that the first record of every process would wait that long. What it sends may be stored twice after
        a lost acknowledgement: a repeated request is the same job, a repeated cancel command the same command.
        """
        from shared.telemetry.clients import traced_producer

        with kafka_properties():
            config = _quiet(producer_config(self.settings, self.service_name))
            own = {"delivery.timeout.ms": DELIVERY_TIMEOUT_MS, "enable.idempotence": False}
            return traced_producer(self.tracing, config | own)

    @cached_property
    def raw_producer(self) -> Any:
        """A producer that sends records exactly as given, dead letters of any size included, in batches."""
        from shared.telemetry.raw_clients import raw_producer

        with kafka_properties():
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
        from shared.telemetry.raw_clients import raw_consumer

        with kafka_properties():
            config = _quiet(reader_config(self.settings, self.service_name, self.settings.group(self.service_name)))
            return raw_consumer({**config, "enable.partition.eof": True, **overrides})

    @contextmanager
    def reader(self) -> Iterator[Any]:
        """A consumer without an assignment, for one reader. It is kept for the next one: a new one has to connect, and
        to close it takes as long."""
        consumer = self._idle.pop() if self._idle else self.consumer()
        try:
            yield consumer
            consumer.unassign()
        except BaseException:  # Also a reader that stops early: records of its assignment may still be on the way.
            consumer.close()
            raise
        self._idle.append(consumer)

    def check(self, *, store: bool = True) -> None:
        """Send one real request to the broker and, with ``store``, one to the object store.

        Raises BrokerUnreachable, StoreUnreachable, BucketUnusable, InvalidDeployment.
        """
        BrokerCheck(self.settings).result()
        if store:
            self.check_store()

    def check_store(self) -> None:
        """Send one real request to the object store. Raises StoreUnreachable, BucketUnusable."""
        from botocore.exceptions import BotoCoreError, ClientError

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
        """Send what is buffered, records for 5 s and spans for 3 s at most; end the kept consumers."""
        for name in ("producer", "raw_producer"):
            if name in self.__dict__:
                self.__dict__[name].flush(FLUSH_S)
        if "tracing" in self.__dict__:
            self.tracing.shutdown()
        while self._idle:
            self._idle.pop().close()


def _quiet(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without librdkafka's own lines on stderr; errors still reach the caller."""
    return {**config, "log_level": 0, "error_cb": lambda _: None}
