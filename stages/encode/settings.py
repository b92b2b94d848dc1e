"""What an operator may change about the encode stage."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"]


class EncodeSettings(BaseSettings):
    """Read from the environment, prefix ``LIPSTAGE_``."""

    model_config = SettingsConfigDict(env_prefix="LIPSTAGE_", extra="ignore")

    x264_threads: int = Field(2, ge=1, le=32, description="Pinned: x264's output depends on how many there are.")
    x264_preset: Preset = Field("veryfast", description="Slower presets make smaller files at the same quality.")
