"""Settings of the local stack; every one can come from the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Port = Annotated[int, Field(ge=0, le=65535)]


class LocalSettings(BaseSettings):
    """Where the stack keeps its state, which ports it takes (0 = any free one) and what it need not start itself."""

    model_config = SettingsConfigDict(env_prefix="LIPSTAGE_", extra="ignore", populate_by_name=True)

    state_dir: Path = Path(".lipstage")
    jars_dir: Path | None = Field(
        None, description="Folder with the broker's jars; default: jars/ in the state folder."
    )
    kafka_port: Port = 0
    s3_port: Port = 0
    traces_port: Port = 0
    bucket: str = "lipstage"
    topic_prefix: str = ""
    engines: Annotated[tuple[str, ...], NoDecode] = ("puppet",)
    disk_min_mb: int = Field(1024, ge=0, description="`up` refuses to start with less free space than this, MiB.")
    start_timeout_s: float = Field(60.0, gt=0, description="Longest wait for one part to become ready, seconds.")
    traces_kept: int = Field(1000, ge=1, description="Traces the receiver keeps; the oldest go first.")

    java_home: str = Field("", validation_alias="JAVA_HOME")
    kafka_bootstrap_servers: str = Field("", validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    kafka_properties_file: Path | None = Field(None, validation_alias="KAFKA_PROPERTIES_FILE")
    s3_endpoint_url: str = Field("", validation_alias="AWS_ENDPOINT_URL_S3")
    region: str = Field("us-east-1", validation_alias="AWS_REGION")
    otlp_endpoint: str = Field("", validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")

    @field_validator("state_dir", "jars_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().resolve() if value is not None else None

    @field_validator("engines", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @property
    def jars(self) -> Path:
        """Folder of the broker's jars, absolute."""
        return self.jars_dir or self.state / "jars"

    @property
    def state(self) -> Path:
        """State folder, absolute."""
        return self.state_dir.resolve()

    @property
    def logs(self) -> Path:
        """Folder of the parts' log files, absolute."""
        return self.state / "logs"
