"""Reads the model weights in the repository and verifies that they are the committed files."""

import hashlib
import json
from pathlib import Path

FACE_DETECTORS = Path(__file__).with_name("detectors")
"""BlazeFace, for portraits (face) and for finished videos (encode): of neither stage alone."""


class WeightsAltered(Exception):
    """A weights file differs from its entry in the folder's ``weights.json``: a damaged or partial installation."""


def read_weights(folder: Path, name: str) -> bytes:
    """Read ``folder / name`` and check its size and SHA-256 against ``folder / "weights.json"``.

    Raises WeightsAltered when they differ or the manifest has no such name, FileNotFoundError when the file is missing.
    """
    manifest = json.loads((folder / "weights.json").read_text(encoding="utf-8"))
    if name not in manifest:
        raise WeightsAltered(f"{name} is not listed in {folder / 'weights.json'}")
    data = (folder / name).read_bytes()
    actual = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    if actual != manifest[name]:
        raise WeightsAltered(f"{folder / name} has {actual}, expected {manifest[name]}")
    return data
