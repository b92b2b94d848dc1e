"""Settings of clients alone, from the environment; the prefix is LIPSTAGE_."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ClientSettings(BaseSettings):
    """What a client of a deployment reads beside the addresses that services read, too."""

    model_config = SettingsConfigDict(
        env_prefix="LIPSTAGE_", extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    projection_url: str = Field(
        "",
        pattern="^(https?://.+)?$",
        description="Where the job-state projection answers, for example http://127.0.0.1:8181. `jobs` and `job` ask it"
        " instead of scanning the events. Empty: no projection runs.",
    )
