"""Weights that an engine needs and this project does not ship: what they are, and the folder that holds them.

A service fetches weights from an object store with its own credentials before it starts its workers, which have none.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from shared.runtime.engine_settings import absolute, variable
from shared.runtime.failures import HandlerUnavailable
from shared.runtime.host.weights_settings import CACHE_VARIABLE, WeightsSettings
from shared.slot.engines import engine_spec
from shared.storage import weights
from shared.storage.client import connect
from shared.storage.errors import StorageError
from shared.storage.settings import StorageSettings
from shared.storage.weights import WeightsFile

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LOG_EVERY_S = 10.0

OnProgress = Callable[[str, int, int], None]
"""Gets the name of a file, the bytes fetched and the bytes in total."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The files that an engine needs, as listed in its catalogue file."""

    engine: str
    files: tuple[Mapping[str, Any], ...]
    configs: tuple[str, ...]
    sources: Mapping[str, str]
    licences: Mapping[str, str]
    notice: str

    def required_files(self) -> list[WeightsFile]:
        """All files of the official layout, to pass to `shared.storage.weights.fetch`."""
        files = [WeightsFile(f["path"], f["bytes"], f["sha256"], f.get("optional", False)) for f in self.files]
        return [*(WeightsFile(name, None, None) for name in self.configs), *files]


def catalogue(engine: str) -> Catalogue | None:
    """The catalogue of an engine; None for an engine whose weights are shipped."""
    external = engine_spec(engine).weights
    if external is None:
        return None
    content = json.loads(external.catalogue.read_text(encoding="utf-8"))
    return Catalogue(
        engine,
        tuple(content["files"]),
        tuple(content["configs"]),
        content["sources"],
        content["licences"],
        content["notice"],
    )


def cached(source: str, endpoint_url: str, settings: WeightsSettings) -> Path:
    """The folder that an s3:// source of the object store at ``endpoint_url`` is fetched into."""
    name = f"{endpoint_url} {source.rstrip('/')}"
    return settings.cache / sha256(name.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A client, and the endpoint that it was made for; empty for the default endpoint of boto3."""

    client: "S3Client"
    endpoint_url: str


def environment_store() -> ObjectStore:
    """The object store that this process's ``AWS_*`` variables name."""
    return ObjectStore(connect(StorageSettings()), os.environ.get("AWS_ENDPOINT_URL_S3", ""))


def local_folder(
    engine: str,
    source: str,
    settings: WeightsSettings,
    store: ObjectStore | None,
    on_progress: OnProgress,
) -> Path:
    """The folder with the weights of ``source``, fetched first when ``source`` is an s3:// URL, which needs ``store``.

    Raises ValueError for a wrong URL, OSError, and StorageError.
    """
    needed = catalogue(engine)
    if not weights.is_url(source) or needed is None or store is None:
        return absolute(source)
    folder = cached(source, store.endpoint_url, settings)
    weights.fetch(store.client, source, needed.required_files(), folder, on_progress)
    return folder


def worker_variables(engine: str) -> Callable[[], Mapping[str, str]] | None:
    """The function that a service calls before it starts workers of ``engine``; None when its weights are shipped.

    Each call fetches what changed at the source and returns the variables that name the folder to the worker. It raises
    HandlerUnavailable, whose text is public on the health port and names neither the bucket nor a folder. Raises
    ValueError for settings that do not parse.
    """
    if catalogue(engine) is None:
        return None
    settings = WeightsSettings()
    settings.source(engine)  # A value that does not parse is found here, before the service starts.

    def fetch() -> Mapping[str, str]:
        try:
            return _fetch(engine, settings)
        except StorageError as e:
            raise HandlerUnavailable(f"weights: {e.code}: {e}") from e
        except OSError as e:
            reason = e.strerror or type(e).__name__
            raise HandlerUnavailable(f"weights: the folder of {CACHE_VARIABLE}: {reason}") from e

    return fetch


def _fetch(engine: str, settings: WeightsSettings) -> Mapping[str, str]:
    source = settings.source(engine)
    if not source:
        return {}
    if not weights.is_url(source):
        return {variable(engine, "weights"): source}
    log.info("weights_fetch_started", source=source)
    started = time.monotonic()
    folder = local_folder(engine, source, settings, environment_store(), _ProgressLog())
    log.info("weights_fetched", folder=str(folder), seconds=round(time.monotonic() - started, 1))
    return {variable(engine, "weights"): str(folder)}


class _ProgressLog:
    """Logs the progress of a file every ten seconds."""

    def __init__(self) -> None:
        self._logged_at = time.monotonic()

    def __call__(self, name: str, done: int, total: int) -> None:
        if (now := time.monotonic()) - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            log.info("weights_fetch_progress", file=name, mib=done >> 20, total_mib=total >> 20)
