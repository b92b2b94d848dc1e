"""What is published of each official file: bytes, SHA-256, parameters, licence; free of torch.

The metadata stand in ``catalogue.json`` beside this module, which the command line reads as well.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from stages.infer.sonic.layout import Part

FILE = Path(__file__).with_name("catalogue.json")


@dataclass(frozen=True, slots=True)
class Entry:
    """One official file; None is what nobody has published."""

    part: Part
    path: str
    bytes: int | None
    sha256: str | None
    parameters: int | None
    dtype: str
    licence: str
    source: str
    """The repository that publishes it."""
    optional: bool = False


@cache
def entries() -> dict[Part, Entry]:
    """All of them, by part."""
    listed = json.loads(FILE.read_text(encoding="utf-8"))["files"]
    found = [Entry(**{**one, "part": Part(one["part"])}) for one in listed]
    return {one.part: one for one in found}


def entry(part: Part) -> Entry:
    """That of one part."""
    return entries()[part]
