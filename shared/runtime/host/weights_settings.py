"""Settings of the weights that this project does not ship, apart from the code that fetches them."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from shared.messages.engines import ENGINES
from shared.runtime.engine_settings import absolute, engine_settings, variable
from shared.runtime.settings import StateSettings
from shared.slot.engines import engine_spec

CACHE_VARIABLE = "LIPSTAGE_WEIGHTS_CACHE"


class WeightsSettings(StateSettings):
    """Where weights come from. Folders are absolute; a relative one is resolved against the current folder."""

    model_config = SettingsConfigDict(env_prefix="LIPSTAGE_", extra="ignore", frozen=True, env_ignore_empty=True)

    weights_cache: Path | None = Field(
        None,
        description="Folder for weights fetched from s3://, about 9 GB; default: `weights` in LIPSTAGE_STATE_DIR.",
    )

    @field_validator("weights_cache", mode="before")
    @classmethod
    def _parse_folder(cls, value: str | Path | None) -> Path | None:
        return absolute(value) if value else None

    @property
    def cache(self) -> Path:
        """Folder that weights are fetched into, absolute; services and commands with one state folder share it."""
        return self.weights_cache or self.state / "weights"

    def source(self, engine: str) -> str:
        """Folder or s3:// URL of an engine's weights; empty when none is set."""
        return engine_settings(engine).weights

    def environment(self, engine: str) -> dict[str, str]:
        """Variables with which a service of ``engine`` in another folder reads the same settings."""
        values = {variable(engine, "weights"): self.source(engine), CACHE_VARIABLE: str(self.weights_cache or "")}
        return {name: value for name, value in values.items() if value}


def external_engines() -> list[str]:
    """The engines whose weights are not shipped."""
    return [engine for engine in ENGINES if engine_spec(engine).weights is not None]
