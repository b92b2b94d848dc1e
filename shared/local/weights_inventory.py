"""What every stage and engine needs, and what of it is on disk. Opens no weights and needs no torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.local.deployment import find_deployment
from shared.local.settings import LocalSettings
from shared.local.shipped_weights import MANIFEST, shipped
from shared.runtime.host.weights import (
    Catalogue,
    ObjectStore,
    cached,
    catalogue,
    environment_store,
)
from shared.runtime.host.weights_settings import WeightsSettings, external_engines
from shared.runtime.settings_variables import InvalidSettings
from shared.storage.client import connect
from shared.storage.settings import StorageSettings
from shared.storage.weights import is_url

SHIPPED = "see NOTICE"


@dataclass(frozen=True, slots=True)
class InventoryRow:
    """One file."""

    owner: str
    name: str
    size: int | None
    """Bytes: the published size, or that of the file where none is published."""
    sha256: str | None
    licence: str
    state: str
    """``ok``, ``found`` (contents not checked), ``other size``, ``missing``, ``missing, optional`` or a fault."""
    folder: str
    """Where it is looked for; empty when no place is set."""


@dataclass(frozen=True, slots=True)
class Location:
    """The setting of an engine's weights, and the folder that its service reads; None when nothing is set."""

    source: str
    folder: Path | None


def rows() -> list[InventoryRow]:
    """Every file, the shipped ones first."""
    result = [
        InventoryRow(f.owner, f.name, f.size, f.sha256, SHIPPED, f.fault() or "ok", str(f.path.parent))
        for f in shipped()
    ]
    for engine in external_engines():
        if (needed := catalogue(engine)) is not None:
            result += _engine_rows(needed, location(engine))
    return result


def location(engine: str) -> Location:
    """Where the service of ``engine`` looks for its weights."""
    settings = WeightsSettings()
    source = settings.source(engine)
    if not source:
        return Location("", None)
    if not is_url(source):
        return Location(source, Path(source))
    return Location(source, cached(source, object_store().endpoint_url, settings))


def object_store() -> ObjectStore:
    """The object store that weights are fetched from: the running local stack's, unless the environment names one."""
    try:
        found = find_deployment(LocalSettings())
    except InvalidSettings:
        found = None  # An object store alone is no deployment, and is enough here.
    if found is None or found.s3.endpoint_url is None:
        return environment_store()
    return ObjectStore(connect(StorageSettings(), access=found.s3), found.s3.endpoint_url)


def _engine_rows(needed: Catalogue, location: Location) -> list[InventoryRow]:
    owner, folder, source = f"infer/{needed.engine}", location.folder, location.source
    converted = _manifest(folder) if folder is not None else None
    if folder is not None and converted is not None:
        licences = {file["path"]: file["licence"] for file in needed.files}
        return [
            InventoryRow(owner, name, entry["bytes"], entry["sha256"], licences.get(entry["origin"]["path"], ""),
                         _state(folder / name, entry["bytes"], False), source)
            for name, entry in converted.items()
        ]  # fmt: skip
    result = []
    for file in needed.files:
        path = folder / file["path"] if folder is not None else None
        state = _state(path, file["bytes"], file.get("optional", False))
        size = file["bytes"] or (path.stat().st_size if path is not None and path.is_file() else None)
        result.append(InventoryRow(owner, file["path"], size, file["sha256"], file["licence"], state, source))
    return result


def _state(path: Path | None, size: int | None, optional: bool) -> str:
    if path is None or not path.is_file():
        return "missing, optional" if optional else "missing"
    return "found" if size in (None, path.stat().st_size) else "other size"


def _manifest(folder: Path) -> Mapping[str, Any] | None:
    """The files of a converted folder; None when it is not a converted one."""
    try:
        files: Any = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return {name: {key: entry[key] for key in ("bytes", "sha256", "origin")} for name, entry in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
