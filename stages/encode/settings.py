"""Settings of the encode stage."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"]


class EncodeSettings(BaseSettings):
    """Read from the environment, prefix ``LIPSTAGE_``."""

    model_config = SettingsConfigDict(env_prefix="LIPSTAGE_", extra="ignore", env_ignore_empty=True)

    x264_threads: int = Field(2, ge=1, le=32, description="Threads of x264; its output depends on their number.")
    x264_preset: Preset = Field("veryfast", description="Slower presets make smaller files at the same quality.")
    lip_check: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Largest share of a render's time for measuring lip offset and quality of the finished file; "
        "0: not measured.",
    )
