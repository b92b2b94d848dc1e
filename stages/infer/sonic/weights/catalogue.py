"""What is published of each official file: bytes, SHA-256, parameters, licence; free of torch.

The figures are in ``catalogue.json`` beside this module. The command line reads the same file.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from stages.infer.sonic.weights.layout import Part

FILE = Path(__file__).with_name("catalogue.json")


@dataclass(frozen=True, slots=True)
class Entry:
    """One official file; None where nothing is published."""

    part: Part
    path: str
    bytes: int | None
    sha256: str | None
    parameters: int | None
    dtype: str
    licence: str
    source: str
    """The repository that publishes the file."""
    optional: bool = False


@cache
def entries() -> dict[Part, Entry]:
    """Every entry by part."""
    listed = json.loads(FILE.read_text(encoding="utf-8"))["files"]
    parsed = [Entry(**{**one, "part": Part(one["part"])}) for one in listed]
    return {one.part: one for one in parsed}


def entry(part: Part) -> Entry:
    """The entry of one part."""
    return entries()[part]
