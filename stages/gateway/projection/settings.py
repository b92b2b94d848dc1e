"""Settings of the job-state projection, from the environment; the prefix is LIPSTAGE_PROJECTION_."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ProjectionSettings(BaseSettings):
    """What the projection keeps, and where it answers."""

    model_config = SettingsConfigDict(
        env_prefix="LIPSTAGE_PROJECTION_", extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    host: str = Field(
        "127.0.0.1",
        description="IPv4 address at which the job-state projection answers. It asks nobody who he is: another address"
        " than the loopback belongs behind a proxy that does.",
    )
    port: int = Field(0, ge=0, le=65535, description="Port at which the projection answers; 0: any free port.")
    keep_days: int = Field(
        30, ge=1, le=3660, description="Days after its last event for which the projection keeps a job."
    )
    max_jobs: int = Field(
        1_000_000,
        ge=1000,
        le=100_000_000,
        description="How many jobs the projection keeps; the oldest that have ended go first.",
    )
    queue_limit_s: float = Field(
        3600.0,
        ge=1,
        le=30 * 86_400,
        description="After this time without an event, a job that waits for a stage's service is reported as stuck,"
        " seconds. In a stage the limit is the stage's own.",
    )
    stall_s: float = Field(
        60.0,
        ge=5,
        le=3600,
        description="The projection ends, to be started again, when records wait for it and it has committed none for"
        " this time, seconds.",
    )
