"""Quotas of tenants: how many jobs each may have in flight, and how much it may use within an hour. Read from one JSON
file, which all services share."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from shared.messages.json_text import json_text
from shared.messages.names import NAME
from shared.messages.numbers import MAX_NUMBER
from shared.messages.validation.errors import explain

Quota = Literal["jobs_in_flight", "speech_s_per_hour", "pixels_per_hour"]
JOBS: Quota = "jobs_in_flight"
SPEECH: Quota = "speech_s_per_hour"
PIXELS: Quota = "pixels_per_hour"
HOURLY: tuple[Quota, ...] = (SPEECH, PIXELS)
MAX_JOBS_IN_FLIGHT = 5000
"""The jobs in flight of a tenant are one document of the object store, of at most 1 MiB."""
MAX_FILE_BYTES = 1 << 20


class InvalidQuotas(ValueError):
    """The file of quotas can't be read; the message names the field."""


class TenantQuotas(BaseModel):
    """Quotas of one tenant; null: no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    jobs_in_flight: int | None = Field(
        None, ge=0, le=MAX_JOBS_IN_FLIGHT, description="Jobs that were accepted and have not ended."
    )
    speech_s_per_hour: float | None = Field(
        None, ge=0, le=MAX_NUMBER, description="Seconds of decoded speech in an hour."
    )
    pixels_per_hour: int | None = Field(
        None, ge=0, le=MAX_NUMBER, description="Pixels of video in an hour: frames x width x height."
    )

    def limit(self, quota: Quota) -> float | None:
        """The limit, in the quota's unit; None: no limit."""
        value: float | None = getattr(self, quota)
        return value


class Quotas(BaseModel):
    """The file: quotas of every tenant, and those that differ for some. A tenant's entry replaces the fields that it
    names, also by null."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    default: TenantQuotas = TenantQuotas()
    tenants: dict[Annotated[str, StringConstraints(pattern=NAME)], TenantQuotas] = Field(default_factory=dict)

    def of(self, tenant: str) -> TenantQuotas:
        """The quotas of a tenant."""
        own = self.tenants.get(tenant)
        if own is None:
            return self.default
        return self.default.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


def read_quotas(path: Path) -> Quotas:
    """Read the file of quotas. Raises OSError, InvalidQuotas."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InvalidQuotas(f"the file has more than {MAX_FILE_BYTES} bytes")
    try:
        return Quotas.model_validate_json(json_text(path.read_bytes()))
    except ValidationError as e:
        raise InvalidQuotas(explain(e, Quotas).message) from e
