"""Where the weights of an engine are, which this project does not ship: what it needs, and the folder to read."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import structlog
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.local.engine_settings import absolute, engine_settings, variable
from shared.local.settings import LocalSettings
from shared.slot.engines import engine_spec
from shared.storage import weights
from shared.storage.client import connect
from shared.storage.settings import StorageSettings
from shared.storage.weights import WeightsFile

CACHE_VARIABLE = "LIPSTAGE_WEIGHTS_CACHE"
_SAY_EVERY_S = 10.0

log = structlog.get_logger()


class WeightsSettings(BaseSettings):
    """Where weights come from; folders are absolute, a relative one is of the current folder when this is read."""

    model_config = SettingsConfigDict(env_prefix="LIPSTAGE_", extra="ignore", frozen=True)

    weights_cache: Path | None = Field(
        None,
        description="Folder for weights named by s3://, about 9 GB; default: weights of the state folder.",
    )

    @field_validator("weights_cache", mode="before")
    @classmethod
    def _folder(cls, value: str | Path | None) -> Path | None:
        return absolute(value) if value else None

    @property
    def cache(self) -> Path:
        """Folder that weights are fetched into, absolute: of services and commands with the same state folder one."""
        return self.weights_cache or LocalSettings().state / "weights"


def environment(engine: str) -> dict[str, str]:
    """Variables with which a process in another folder finds the same weights; none for shipped ones."""
    if engine_spec(engine).weights is None:
        return {}
    cache = WeightsSettings().weights_cache
    values = {variable(engine, "weights"): engine_settings(engine).weights, CACHE_VARIABLE: str(cache or "")}
    return {name: value for name, value in values.items() if value}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The files that an engine needs, from its catalogue file."""

    engine: str
    files: tuple[Mapping[str, Any], ...]
    configs: tuple[str, ...]
    sources: Mapping[str, str]
    licences: Mapping[str, str]
    notice: str

    def wanted(self) -> list[WeightsFile]:
        """All files of the official layout."""
        named = [WeightsFile(f["path"], f["bytes"], f["sha256"], f.get("optional", False)) for f in self.files]
        return [*(WeightsFile(name, None, None) for name in self.configs), *named]


def catalogue(engine: str) -> Catalogue | None:
    """An engine's catalogue; None for one whose weights are shipped."""
    external = engine_spec(engine).weights
    if external is None:
        return None
    found = json.loads(external.catalogue.read_text(encoding="utf-8"))
    return Catalogue(
        engine,
        tuple(found["files"]),
        tuple(found["configs"]),
        found["sources"],
        found["licences"],
        found["notice"],
    )


def cached(source: str, settings: WeightsSettings) -> Path:
    """The folder that an s3:// source is fetched into; its name tells endpoint and place apart from others."""
    where = f"{os.environ.get('AWS_ENDPOINT_URL_S3', '')} {source.rstrip('/')}"
    return settings.cache / sha256(where.encode()).hexdigest()[:16]


def local_folder(engine: str, source: str, settings: WeightsSettings, tell: weights.Tell) -> Path:
    """The folder with the weights of ``source``, fetched first when that lies in a store.

    Raises ValueError for a wrong URL, and StorageError.
    """
    needed = catalogue(engine)
    if not weights.is_url(source) or needed is None:
        return absolute(source)
    folder = cached(source, settings)
    weights.fetch(connect(StorageSettings()), source, needed.wanted(), folder, tell)
    return folder


def prepare(engine: str, source: str, settings: WeightsSettings) -> None:
    """Before an engine's service starts its children, which have no credentials: fetch what lies in a store.

    From then on the environment names the folder, absolute, so ``source`` is what the setting said before the first
    call: every call looks there again, and a bucket that was mended is noticed. Raises OSError, and as
    ``local_folder``.
    """
    if not source:
        return
    if not weights.is_url(source):
        os.environ[variable(engine, "weights")] = source
        return
    log.info("weights are fetched", source=source)
    begun = time.monotonic()
    folder = local_folder(engine, source, settings, _Log())
    log.info("weights are here", folder=str(folder), seconds=round(time.monotonic() - begun, 1))
    os.environ[variable(engine, "weights")] = str(folder)


class _Log:
    """Says now and then how far a file is."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, name: str, done: int, whole: int) -> None:
        if (now := time.monotonic()) - self._said >= _SAY_EVERY_S:
            self._said = now
            log.info("weights are coming", file=name, mib=done >> 20, of_mib=whole >> 20)
