"""Settings of `fault_injection`, apart from it: the command line reads every setting and injects nothing."""

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class FaultSettings(BaseSettings):
    """Settings of the fault injection, for tests only."""

    model_config = SettingsConfigDict(
        env_prefix="LIPSTAGE_", extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    faults: str = Field(
        "",
        description="For tests only: faults that the service injects into itself, see `shared/runtime/"
        "fault_injection.py`. Never set it in production.",
    )
    faults_seed: int = Field(
        0,
        ge=0,
        le=2**32 - 1,
        description="For tests only: seed of the rules in LIPSTAGE_FAULTS that have a probability.",
    )

    @field_validator("faults")
    @classmethod
    def _check_faults(cls, value: str) -> str:
        if value:
            from shared.runtime.fault_rules import parse  # It loads every part whose exceptions can be injected.

            parse(value)
        return value
