"""Settings of the telemetry. OpenTelemetry's own variables (``OTEL_*``) keep their names; most are read by the SDK."""

from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.telemetry import pseudonyms

Protocol = Literal["http/protobuf", "grpc"]


class TelemetrySettings(BaseSettings):
    """What leaves a process as spans, and how."""

    model_config = SettingsConfigDict(
        env_prefix="LIPSTAGE_", extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    hash_key: SecretStr | None = Field(
        None,
        description="Keys of the hashes that stand for owners in telemetry: id:secret, several comma-separated, the"
        " newest first; a secret has at least 16 bytes. The local stack generates one.",
    )
    otlp_protocol: Protocol = Field(
        "http/protobuf",
        validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_PROTOCOL", "otlp_protocol"),
        description="Protocol of OTEL_EXPORTER_OTLP_ENDPOINT: http/protobuf (usual port 4318) or grpc (4317).",
    )
    otlp_traces_protocol: Protocol | None = Field(
        None,
        validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "otlp_traces_protocol"),
        description="The same for spans alone; wins.",
    )

    @field_validator("hash_key")
    @classmethod
    def _check_hash_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            pseudonyms.parse(value.get_secret_value())
        return value

    @property
    def traces_protocol(self) -> Protocol:
        """The protocol in which spans are exported."""
        return self.otlp_traces_protocol or self.otlp_protocol
