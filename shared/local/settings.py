"""Settings of the local stack; every one can come from the environment."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.runtime.kafka_config import read_properties

CHECKOUT = Path(__file__).resolve().parents[2]
"""The folder that holds `shared`: the checkout, unless the package was installed elsewhere."""
Port = Annotated[int, Field(ge=0, le=65535)]


def _port(of: str) -> int:
    port: int = Field(0, description=f"Loopback port of the local {of}; 0: any free one, kept from then on.")
    return port


class LocalSettings(BaseSettings):
    """Where the stack keeps its state, which ports it takes and what it need not start itself."""

    model_config = SettingsConfigDict(env_prefix="LIPSTAGE_", extra="ignore", populate_by_name=True)

    state_dir: Path = Field(
        Path(".lipstage"), description="Folder of the stack's data, logs and addresses; relative to the current one."
    )
    jars_dir: Path | None = Field(
        None, description="Folder of the broker's jars; default: .lipstage/jars of the checkout."
    )
    kafka_port: Port = _port("broker")
    s3_port: Port = _port("store")
    traces_port: Port = _port("trace receiver")
    bucket: str = Field("lipstage", description="Artifact bucket that `up` makes.")
    topic_prefix: str = Field("", description="Put before every topic that `up` makes and every group.")
    engines: Annotated[tuple[str, ...], NoDecode] = Field(
        ("puppet",), description="Engines that `up` starts an infer service for, comma-separated."
    )
    drain_s: float = Field(
        20.0, ge=0, le=3600, description="How long `down` and scaling down let a running task go on; bounds `down`."
    )
    disk_min_mb: int = Field(1024, ge=0, description="`up` refuses to start with less free space than this, MiB.")
    start_timeout_s: float = Field(60.0, gt=0, description="Longest wait for one part to become ready, seconds.")
    traces_kept: int = Field(1000, ge=1, description="Traces the receiver keeps; the oldest go first.")

    java_home: str = Field(
        "", validation_alias="JAVA_HOME", description="Java 17 or newer for the broker; default: the packaged one."
    )
    kafka_bootstrap_servers: str = Field(
        "", validation_alias="KAFKA_BOOTSTRAP_SERVERS", description="Your broker instead of a local one."
    )
    kafka_properties_file: Path | None = Field(
        None,
        validation_alias="KAFKA_PROPERTIES_FILE",
        description="As for the services; a file with bootstrap.servers names your broker.",
    )
    s3_endpoint_url: str = Field(
        "", validation_alias="AWS_ENDPOINT_URL_S3", description="Your store instead of a local one."
    )
    region: str = Field("us-east-1", validation_alias="AWS_REGION", description="Region that requests are signed for.")
    otlp_endpoint: str = Field(
        "",
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="Your OTLP/HTTP collector instead of the local receiver.",
    )

    @field_validator("state_dir", "jars_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().resolve() if value is not None else None

    @field_validator("engines", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _broker_of_the_file(self) -> Self:
        """For every client the properties file has the last word."""
        if self.kafka_properties_file is not None:
            try:
                found = read_properties(self.kafka_properties_file)
            except OSError as error:
                raise ValueError(f"KAFKA_PROPERTIES_FILE can't be read: {error.strerror}") from error
            self.kafka_bootstrap_servers = str(found.get("bootstrap.servers", self.kafka_bootstrap_servers))
        return self

    @property
    def jars(self) -> Path:
        """Folder of the broker's jars, absolute: where `make setup` put them, whatever the state folder is."""
        if self.jars_dir:
            return self.jars_dir
        return (CHECKOUT / ".lipstage" if (CHECKOUT / "Makefile").is_file() else self.state) / "jars"

    @property
    def state(self) -> Path:
        """State folder, absolute."""
        return self.state_dir.resolve()

    @property
    def logs(self) -> Path:
        """Folder of the parts' log files, absolute."""
        return self.state / "logs"
