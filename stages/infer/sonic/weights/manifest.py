"""``weights.json`` of a converted tree: every file, its source, and the accepted licence."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stages.infer.sonic.weights.faults import Fault, WeightsCode, WeightsRefused
from stages.infer.sonic.weights.layout import MANIFEST

FORMAT = "lipstage-sonic-weights"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of a converted file."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of the converted tree."""

    path: str
    bytes: int
    sha256: str
    dtype: str
    """Dtype of the tensors; empty for a copied file."""
    origin: Origin


@dataclass(slots=True)
class Manifest:
    """A conversion; it is finished when it is stored as ``weights.json``."""

    dtype: str
    """Dtype of UNet, autoencoder and image encoder; the small networks keep theirs."""
    official: bool
    """Whether the networks have the configuration of the published model."""
    files: dict[str, FileRecord] = field(default_factory=dict)
    """By path."""
    licence: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Replace the file atomically."""
        document = {"format": FORMAT, "version": VERSION, **asdict(self)}
        write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())


def read(folder: Path, name: str = MANIFEST) -> Manifest:
    """The manifest of a folder. Raises WeightsRefused (MANIFEST_INVALID)."""
    try:
        document: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
        if (document.pop("format"), document.pop("version")) != (FORMAT, VERSION):
            raise ValueError(f"not a manifest of this version ({VERSION})")
        files = {
            path: FileRecord(**{**entry, "origin": Origin(**entry["origin"])})
            for path, entry in document.pop("files").items()
        }
        return Manifest(files=files, **document)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"not the manifest of a converted tree ({type(error).__name__}: {error})"
        raise WeightsRefused([Fault(WeightsCode.MANIFEST_INVALID, name, found=reason)]) from None


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file; after a crash its content is either the old one or the new one."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    put_in_place(partial, path)


def put_in_place(partial: Path, path: Path) -> None:
    """Rename a written and synced file, and sync the folder."""
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
