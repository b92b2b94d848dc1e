"""Settings of webhooks, from the environment; the prefix is LIPSTAGE_WEBHOOK_. The gateway and the service that
delivers read the same ones."""

import ipaddress
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIN_SECRET_BYTES = 32


class WebhookSettings(BaseSettings):
    """Which endpoints tenants may register, and how they are told."""

    model_config = SettingsConfigDict(
        env_prefix="LIPSTAGE_WEBHOOK_", extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    key: SecretStr | None = Field(
        None,
        description="Secret, of at least 32 bytes, from which the signing secret of each endpoint derives; of several,"
        " comma-separated, the first is that of new endpoints, and all sign. The same for the gateway and the service"
        " `webhooks`. Unset: no webhooks.",
    )
    allow_http: bool = Field(False, description="Also take endpoints with http:// URLs: what is sent can be read.")
    allow_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (),
        description="Networks, comma-separated, such as 10.1.0.0/16, in which endpoints may lie although their"
        " addresses are not public.",
    )
    max_endpoints: int = Field(16, ge=1, le=1000, description="Endpoints of one tenant.")
    timeout_s: float = Field(
        10.0, ge=0.5, le=60, description="Time for one POST, from the connection to the answer, seconds."
    )
    max_attempts: int = Field(
        8,
        ge=1,
        le=100,
        description="Total attempts to tell an endpoint of one render: the first, then one after each of"
        " LIPSTAGE_RETRY_TIERS, the last of which repeats. Then the notice is a dead letter.",
    )
    concurrency: int = Field(32, ge=1, le=256, description="POSTs of one service at a time.")
    concurrency_per_endpoint: int = Field(4, ge=1, le=64, description="Of them, those to one endpoint.")

    @field_validator("key")
    @classmethod
    def _check_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and any(len(one.encode()) < MIN_SECRET_BYTES for one in split_keys(value)):
            raise ValueError(f"each secret needs at least {MIN_SECRET_BYTES} bytes")
        return value

    @field_validator("allow_networks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip())


def split_keys(value: SecretStr) -> list[str]:
    """The secrets of a list of them, the newest first."""
    return [part.strip() for part in value.get_secret_value().split(",")]
