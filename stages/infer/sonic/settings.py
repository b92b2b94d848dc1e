"""Settings of the sonic engine; free of torch."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SonicSettings(BaseSettings):
    """Read from the environment, prefix ``LIPSTAGE_SONIC_``."""

    model_config = SettingsConfigDict(env_prefix="LIPSTAGE_SONIC_", extra="ignore", frozen=True, env_ignore_empty=True)

    weights: Path | None = Field(
        None, exclude=True, description="Folder of the model's weights, official or converted; the parent fetches it."
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="auto (the first GPU that CUDA_VISIBLE_DEVICES shows; the CPU for reduced models only), cpu, "
        "cuda or cuda:N.",
    )
    dtype: Literal["auto", "fp16", "bf16", "fp32"] = Field(
        "auto", description="Number type of the large networks; auto: fp16 on a GPU, fp32 on the CPU."
    )
    memory_mb: int | None = Field(
        None,
        ge=512,
        le=1 << 24,
        description="Most of a GPU's memory that the process may hold, MiB; default: what is free.",
    )
    compiled: bool = Field(
        False,
        description="torch.compile the UNet: about 1.5 times as fast, at the cost of a minute or two for each new "
        "picture size.",
    )
