"""An input that ended as none may: saved once for each way in which it failed."""

import hashlib
import traceback
from dataclasses import dataclass
from pathlib import Path

MAX_OF_A_KIND = 3
"""Inputs that are kept for one kind of failure."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One input, and how it failed."""

    target: str
    kind: str
    """Exception and place, signal, or limit: what tells findings apart."""
    detail: str
    path: Path
    """The input."""


def kind_of(error: BaseException) -> str:
    """The exception, and the line of this project, or else of a library, that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "site-packages" not in f.filename and "tests/fuzz" not in f.filename] or list(frames)
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    return f"{type(error).__name__} at {place}"


def save(folder: Path, target: str, kind: str, detail: str, data: bytes) -> Finding | None:
    """Write the input and what is known of it; None when there are enough of this kind."""
    slug = "".join(c if c.isalnum() else "-" for c in kind)[:60]
    folder.mkdir(parents=True, exist_ok=True)
    if len(list(folder.glob(f"{target}-{slug}-*.txt"))) >= MAX_OF_A_KIND:
        return None
    path = folder / f"{target}-{slug}-{hashlib.sha256(data).hexdigest()[:8]}"
    path.write_bytes(data)
    path.with_name(path.name + ".txt").write_text(f"{target}\n{kind}\n{detail}\n")
    return Finding(target, kind, detail, path)


def saved(folder: Path) -> list[Finding]:
    """What earlier calls of ``save`` have written to the folder."""
    found = []
    for note in sorted(folder.glob("*.txt")):
        target, kind, detail = note.read_text().split("\n", 2)
        found.append(Finding(target, kind, detail, note.with_suffix("")))
    return found
