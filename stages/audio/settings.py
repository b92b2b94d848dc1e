"""Settings of the audio stage."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class AudioSettings(BaseSettings):
    """Read from the environment, prefix ``LIPSTAGE_``."""

    model_config = SettingsConfigDict(env_prefix="LIPSTAGE_", extra="ignore", env_ignore_empty=True)

    # Half an hour fits the worker process's memory here and the deadline of infer.
    max_speech_s: float = Field(600.0, gt=0.2, le=1800, description="Longest speech accepted, decoded seconds.")
