"""What an operator may change about the audio stage."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class AudioSettings(BaseSettings):
    """Read from the environment, prefix ``LIPSTAGE_``."""

    model_config = SettingsConfigDict(env_prefix="LIPSTAGE_", extra="ignore")

    # The analysis of half an hour fits the worker's memory, its animation the time that infer has for a task.
    max_speech_s: float = Field(600.0, gt=0.2, le=1800, description="Longest speech accepted, decoded seconds.")
