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
    lip_check: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Largest share of a render's time that may go into looking at the finished file, for the lips' "
        "offset and the quality; 0: no look, no figures.",
    )
