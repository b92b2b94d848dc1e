"""Settings of the gateway, from the environment; the prefix is LIPSTAGE_GATEWAY_."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class GatewaySettings(BaseSettings):
    """Where the gateway answers, whom, and how much it takes."""

    model_config = SettingsConfigDict(
        env_prefix="LIPSTAGE_GATEWAY_", extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    host: str = Field(
        "127.0.0.1",
        description="Address at which the gateway answers. Without LIPSTAGE_GATEWAY_KEYS_FILE an address of the"
        " loopback only: every caller may then do everything.",
    )
    port: int = Field(8080, ge=0, le=65535, description="Port of HTTP; 0: any free port.")
    grpc_port: int | None = Field(None, ge=0, le=65535, description="Port of gRPC; 0: any free port; unset: no gRPC.")
    keys_file: Path | None = Field(
        None, description="File with the API keys that `lipstage keys create` makes; a change is noticed."
    )
    public_url: str = Field(
        "", description="Address under which people reach the gateway, for links; unset: that of each request."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins, comma-separated, whose pages may call the gateway with an API key."
    )
    delivery: Literal["stream", "redirect"] = Field(
        "stream",
        description="How results are sent: through the gateway with byte ranges, or by a redirect to a presigned URL"
        " of the object store, which browsers must then reach.",
    )
    presigned_s: int = Field(900, ge=30, le=86_400, description="Seconds for which a presigned URL is valid.")
    s3_public_url: str = Field(
        "",
        description="Address under which clients reach the object store, for presigned URLs; unset: that of"
        " AWS_ENDPOINT_URL_S3.",
    )
    grafana_url: str = Field("", description="Address under which people reach Grafana, for links to traces.")
    threads: int = Field(
        8, ge=1, le=128, description="Calls to the deployment that run at a time; further ones wait for their turn."
    )
    max_uploads: int = Field(16, ge=1, le=1024, description="Uploads through the gateway at a time.")
    upload_idle_s: float = Field(
        20.0, ge=1, le=600, description="An upload that sends nothing for so many seconds is ended."
    )
    max_watchers: int = Field(1000, ge=1, le=100_000, description="Open event streams; further ones are refused.")
    max_watchers_per_tenant: int = Field(500, ge=1, le=100_000, description="Of them, those of one tenant.")
    rate_per_s: float = Field(50.0, gt=0, le=100_000, description="Requests a second of one API key, on average.")
    rate_burst: int = Field(200, ge=1, le=1_000_000, description="Requests that one API key may send at once.")
    max_batch: int = Field(1000, ge=1, le=10_000, description="Jobs of one call to /v1/batches.")

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value
