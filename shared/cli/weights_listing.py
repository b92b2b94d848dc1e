"""``lipstage weights ls``: what every stage and engine needs, and what of it is there. Runs nothing, needs no torch."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.cli import console
from shared.cli.weights import MANIFEST, shipped

if TYPE_CHECKING:
    from shared.local.engine_weights import Catalogue

SHIPPED = "see NOTICE"


@dataclass(frozen=True, slots=True)
class Row:
    """One file."""

    owner: str
    name: str
    size: int | None
    """Bytes; as published, or as found where nothing is."""
    sha256: str | None
    licence: str
    state: str
    """``ok``, ``found`` (contents not looked at), ``other size``, ``missing``, ``not needed`` or a fault."""
    folder: str
    """Where it is looked for; empty when no place is named."""


def rows() -> list[Row]:
    """Everything, the shipped files first."""
    from shared.local.engine_weights import catalogue
    from shared.messages.engines import ENGINES

    found = [
        Row(file.owner, file.name, file.size, file.sha256, SHIPPED, file.fault() or "ok", str(file.path.parent))
        for file in shipped()
    ]
    for engine in ENGINES:
        if (needed := catalogue(engine)) is not None:
            found += _engine(needed, *_place(engine))
    return found


def _place(engine: str) -> tuple[str, Path | None]:
    """The setting's value, and the folder that the service reads."""
    from shared.cli.connection import locate_store
    from shared.local.engine_settings import engine_settings
    from shared.local.engine_weights import WeightsSettings, cached
    from shared.storage.weights import is_url

    source = engine_settings(engine).weights
    if not source:
        return "", None
    if not is_url(source):
        return source, Path(source)
    locate_store()
    return source, cached(source, WeightsSettings())


def _engine(needed: "Catalogue", source: str, folder: Path | None) -> list[Row]:
    owner = f"infer/{needed.engine}"
    converted = _manifest(folder) if folder is not None else None
    if folder is not None and converted is not None:
        licences = {file["path"]: file["licence"] for file in needed.files}
        return [
            Row(owner, name, entry["bytes"], entry["sha256"], licences.get(entry["origin"]["path"], ""),
                _state(folder / name, entry["bytes"], False), source)
            for name, entry in converted.items()
        ]  # fmt: skip
    found = []
    for file in needed.files:
        path = folder / file["path"] if folder is not None else None
        state = _state(path, file["bytes"], file.get("optional", False))
        size = file["bytes"] or (path.stat().st_size if path is not None and path.is_file() else None)
        found.append(Row(owner, file["path"], size, file["sha256"], file["licence"], state, source))
    return found


def _state(path: Path | None, size: int | None, optional: bool) -> str:
    if path is None or not path.is_file():
        return "missing, optional" if optional else "missing"
    return "found" if size in (None, path.stat().st_size) else "other size"


def _manifest(folder: Path) -> Mapping[str, Any] | None:
    """Files of a converted tree; None for another."""
    try:
        files: Any = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return {name: {key: one[key] for key in ("bytes", "sha256", "origin")} for name, one in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def show(as_json: bool) -> None:
    """Print them."""
    found = rows()
    if as_json:
        console.emit_json([asdict(row) for row in found])
        return
    console.table(
        ("OWNER", "STATE", "BYTES", "SHA256", "LICENCE", "FILE"),
        [(row.owner, row.state, _bytes(row.size), (row.sha256 or "-")[:12], row.licence, row.name) for row in found],
    )
    for line in _notes():
        console.say(line)


def _bytes(size: int | None) -> str:
    return f"{size:,}" if size is not None else "-"


def _notes() -> list[str]:
    from shared.cli.licence import lines
    from shared.local.engine_settings import variable
    from shared.local.engine_weights import catalogue
    from shared.messages.engines import ENGINES

    told: list[str] = []
    for engine in ENGINES:
        needed = catalogue(engine)
        if needed is None:
            continue
        source, folder = _place(engine)
        setting = variable(engine, "weights")
        looks = f"looks in {source}" if source else f"looks where {setting} says: a folder or s3://BUCKET/PREFIX"
        if folder is not None and str(folder) != source:
            looks += f" ({folder})"
        told += ["", f"{engine} {looks}"]
        told += [f"  {name}: {where}" for name, where in needed.sources.items()]
        told += ["  and of each network its JSON file:", *(f"    {name}" for name in needed.configs)]
        told += ["", *lines(needed)]
    return told
