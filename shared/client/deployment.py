"""Where a deployment is: broker, topics, object store, trace collector."""

from dataclasses import dataclass, field

from shared.runtime.settings import RuntimeSettings
from shared.runtime.tenant_settings import TenantSettings
from shared.storage.client import FROM_ENVIRONMENT, S3Access
from shared.storage.settings import StorageSettings
from shared.telemetry.settings import Protocol


@dataclass(frozen=True, slots=True)
class Deployment:
    """Addresses, names and credentials of one deployment.

    ``Deployment()`` is the one that the environment names (docs/configuration.md). Every part can be given instead:
    ``Deployment(RuntimeSettings(bootstrap_servers="kafka:9092"), s3=S3Access("https://s3.example", ...))``.
    Raises pydantic's ``ValidationError`` or ``SettingsError`` for a variable that can't be read.
    """

    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    """Broker, topic prefix, and the size limits of the services."""
    storage: StorageSettings = field(default_factory=StorageSettings)
    """Buckets by alias."""
    s3: S3Access = FROM_ENVIRONMENT
    """Endpoint, region and key pair; what is None comes from boto3's own configuration."""
    otlp_endpoint: str | None = None
    """OTLP collector that receives the client's spans; None: OTEL_EXPORTER_OTLP_ENDPOINT, if set."""
    otlp_protocol: Protocol | None = None
    """What ``otlp_endpoint`` speaks; None: OTEL_EXPORTER_OTLP_PROTOCOL, else http/protobuf."""
    tempo_url: str | None = None
    """Query address of the Tempo that has the traces; None: LIPSTAGE_TEMPO_URL, if set."""
    tenants: TenantSettings = field(default_factory=TenantSettings)
    """Keys by which requests and cancel commands are signed (docs/tenants.md); none: they are not signed."""
