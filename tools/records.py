"""The records under bench/results, and which of them are older than the code that they measure."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.catalogue import CATALOGUE
from bench.record import digest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
Record = dict[str, Any]
ABOUT = ("benchmark", "date", "command", "version", "commit", "python", "cpu", "cores", "load", "measures")
"""Keys of every record; the others are its figures."""


def records(folder: Path = RESULTS) -> dict[str, Record]:
    """All records by the names of their benchmarks, in the catalogue's order. Raises ValueError for one of no
    benchmark, or in a file with another name."""
    found: dict[str, Record] = {}
    for file in folder.glob("*.json"):
        record: Record = json.loads(file.read_text())
        if record["benchmark"] not in CATALOGUE or record["benchmark"] != file.stem:
            raise ValueError(f"{file.name} is the record of no benchmark of that name: {record['benchmark']}")
        found[file.stem] = record
    return {name: found[name] for name in CATALOGUE if name in found}


def is_older(record: Mapping[str, Any], root: Path = ROOT) -> bool:
    """Whether the code that the record measures differs from what it was measured with."""
    name, measures = record["benchmark"], record["measures"]
    if list(CATALOGUE[name].measures) != measures["paths"]:
        return True
    return bool(digest(measures["paths"], root) != measures["sha256"])


def older(found: Iterable[Record]) -> list[str]:
    """Names of the records that are older than their code."""
    return [record["benchmark"] for record in found if is_older(record)]


def value(found: Mapping[str, Record], name: str, path: str) -> Any:
    """One figure: the keys of ``path`` are separated by slashes. Raises KeyError with the whole name."""
    at: Any = found.get(name)
    for key in path.split("/"):
        at = at.get(key) if isinstance(at, dict) else None
    if at is None or isinstance(at, dict):
        raise KeyError(f"{name} {path}")
    return at
