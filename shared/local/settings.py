"""Settings of the local stack, from the environment."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from shared.local.installation import downloads
from shared.runtime.properties_file import read_properties
from shared.runtime.settings import DeploymentSettings, StateSettings
from shared.runtime.settings_variables import unusable
from shared.storage.client import DEFAULT_REGION

Port = Annotated[int, Field(ge=0, le=65535)]
Program = Path | None


def _port(part: str) -> int:
    port: int = Field(0, description=f"Loopback port of the local {part}; 0: any free one, kept from then on.")
    return port


def _program(part: str) -> Path | None:
    path: Path | None = Field(
        None, description=f"Program of {part} for `up --observability`; default: the one on PATH."
    )
    return path


class LocalSettings(StateSettings, DeploymentSettings):
    """Where the local stack keeps its state, which ports it takes and which parts it need not start."""

    model_config = SettingsConfigDict(
        env_prefix="LIPSTAGE_", extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    jars_dir: Path | None = Field(
        None,
        description="Folder of the broker's jars; default: .lipstage/jars of the checkout, for an installed package"
        " lipstage/jars in the user's cache folder (XDG_CACHE_HOME, ~/.cache).",
    )
    kafka_port: Port = _port("broker")
    s3_port: Port = _port("object store")
    traces_port: Port = _port("trace receiver")
    tempo_port: Port = _port("Tempo")
    prometheus_port: Port = _port("Prometheus")
    grafana_port: Port = _port("Grafana")
    tempo_bin: Program = _program("Tempo 3")
    prometheus_bin: Program = _program("Prometheus")
    grafana_bin: Program = _program("Grafana")
    promtool_bin: Program = Field(None, description="Program promtool for the tests; default: the one on PATH.")
    collector_bin: Program = Field(None, description="Program otelcol-contrib for the tests; default: the one on PATH.")
    disk_min_mb: int = Field(
        1024, ge=0, le=1 << 30, description="`up` refuses to start with less free space than this, MiB."
    )
    start_timeout_s: float = Field(
        60.0, gt=0, le=3600, description="Longest wait for one part to become ready, seconds."
    )
    traces_kept: int = Field(1000, ge=1, le=10_000_000, description="Traces the receiver keeps; the oldest go first.")

    java_home: str = Field(
        "", validation_alias="JAVA_HOME", description="Java 17 or newer for the broker; default: the packaged one."
    )
    kafka_bootstrap_servers: str = Field(
        "", validation_alias="KAFKA_BOOTSTRAP_SERVERS", description="Your broker instead of a local one."
    )
    s3_endpoint_url: str = Field(
        "", validation_alias="AWS_ENDPOINT_URL_S3", description="Your object store instead of a local one."
    )
    region: str = Field(
        DEFAULT_REGION,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}$",
        validation_alias="AWS_REGION",
        description="Region that requests are signed for.",
    )
    otlp_endpoint: str = Field(
        "",
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="Your OTLP/HTTP collector instead of the local receiver.",
    )
    tempo_url: str = Field(
        "",
        description="Query address of a Grafana Tempo, http://HOST:3200: `trace` and `traces` ask it; default: that of"
        " the local stack, else the local trace receiver.",
    )

    @field_validator("s3_endpoint_url", "otlp_endpoint", "tempo_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        if value and not (value.startswith(("http://", "https://")) and urlsplit(value).hostname):
            raise ValueError("must be a URL such as http://HOST:PORT or https://HOST")
        if any(character in value for character in "@?#"):
            raise ValueError("must have no user, password or query: addresses are printed and logged; for credentials"
                             " use AWS_ACCESS_KEY_ID, OTEL_EXPORTER_OTLP_HEADERS")  # fmt: skip
        return value

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _check_servers(cls, value: str) -> str:
        if "@" in value:
            raise ValueError("must have no user or password: addresses are printed; use KAFKA_PROPERTIES_FILE")
        return value

    @field_validator("jars_dir", "tempo_bin", "prometheus_bin", "grafana_bin", "promtool_bin", "collector_bin")
    @classmethod
    def _resolve(cls, value: Path | None) -> Path | None:
        return value.expanduser().resolve() if value is not None else None

    @model_validator(mode="after")
    def _read_broker_from_file(self) -> Self:
        """The properties file wins over KAFKA_BOOTSTRAP_SERVERS, as for every client."""
        if self.kafka_properties_file is not None:
            try:
                properties = read_properties(self.kafka_properties_file)
                self.kafka_bootstrap_servers = self._check_servers(
                    properties.get("bootstrap.servers", self.kafka_bootstrap_servers)
                )
            except (OSError, ValueError) as error:
                raise ValueError(unusable("KAFKA_PROPERTIES_FILE", error)) from error
        return self

    @property
    def jars(self) -> Path:
        """Folder of the broker's jars, absolute and independent of the state folder."""
        return self.jars_dir or downloads() / "jars"

    @property
    def logs(self) -> Path:
        """Folder of the parts' log files, absolute."""
        return self.state / "logs"
