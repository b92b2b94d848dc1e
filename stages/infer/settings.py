"""Settings of the infer stage with every engine."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

CodecChoice = Literal["auto", "h264-lossless", "raw"]


class InferSettings(BaseSettings):
    """Read from the environment, prefix ``LIPSTAGE_``."""

    model_config = SettingsConfigDict(env_prefix="LIPSTAGE_", extra="ignore", env_ignore_empty=True)

    frame_codec: CodecChoice = Field(
        "auto",
        description="How frames are stored between infer and encode: h264-lossless, raw, or auto, by the first chunk of"
        " each render. raw where cores are scarcer than bytes, and before a rollback to 0.4.0.",
    )
