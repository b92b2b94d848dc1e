"""Settings of each engine, under ``LIPSTAGE_<ENGINE>_``: its weights and its Python."""

from functools import cache
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class EngineSettings(BaseSettings):
    """The paths of an engine's weights and Python."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    weights: str = Field("", description="Weights of the engine: a folder, as a mounted volume, or s3://BUCKET/PREFIX.")
    python: Path | None = Field(
        None,
        description="Python that runs the engine; default: the engine's environment in the checkout, else the caller's "
        "own where it has the libraries.",
    )

    @field_validator("weights")
    @classmethod
    def _place(cls, value: str) -> str:
        if not (value := value.strip()):
            return ""
        from shared.storage import weights

        if weights.is_url(value):
            weights.parse(value)
            return value
        return str(absolute(value))

    @field_validator("python", mode="before")
    @classmethod
    def _unresolved(cls, value: str | Path | None) -> Path | None:
        return absolute(value) if value else None


def absolute(path: str | Path) -> Path:
    """An absolute path with unresolved symbolic links: the Python of a virtual environment is a link, and a mounted
    volume may be replaced.

    Raises ValueError for the home folder of an unknown user.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"{str(path)!r}: {error}") from error


def variable(engine: str, field: str) -> str:
    """Environment variable of an engine's setting."""
    return f"LIPSTAGE_{engine}_{field}".upper()


@cache
def settings_model(engine: str) -> type[EngineSettings]:
    """The settings model that reads an engine's variables; its title differs from those of other engines."""

    class Model(EngineSettings):
        model_config = SettingsConfigDict(env_prefix=variable(engine, ""), title=f"EngineSettings of {engine}")

    return Model


def engine_settings(engine: str) -> EngineSettings:
    """An engine's settings. Raises pydantic.ValidationError."""
    return settings_model(engine)()
