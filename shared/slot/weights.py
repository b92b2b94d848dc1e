"""ChunkUploaded model weights: read only when they are the files that were committed."""

import hashlib
import json
from pathlib import Path


class WeightsAltered(Exception):
    """A weights file is not the one its folder's ``weights.json`` names: a damaged or partial installation."""


def read_weights(folder: Path, name: str) -> bytes:
    """The bytes of ``folder / name``, checked against size and SHA-256 in ``folder / "weights.json"``.

    Raises WeightsAltered when they differ or the manifest does not know the name, FileNotFoundError when absent.
    """
    manifest = json.loads((folder / "weights.json").read_text(encoding="utf-8"))
    if name not in manifest:
        raise WeightsAltered(f"{name} is not listed in {folder / 'weights.json'}")
    data = (folder / name).read_bytes()
    found = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    if found != manifest[name]:
        raise WeightsAltered(f"{folder / name} has {found}, expected {manifest[name]}")
    return data
