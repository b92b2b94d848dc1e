"""Reads whole files once, with progress: SHA-256, archive checksums, and a check for NaN and infinity."""

import zipfile
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

import torch

from stages.infer.sonic.weights.faults import Fault, WeightsCode
from stages.infer.sonic.weights.tensors import TensorFile

BLOCK = 8 << 20
OnBytes = Callable[[int], None]
"""Called with the bytes done since the last call."""


def digest(path: Path, on_bytes: OnBytes) -> str:
    """Hex SHA-256 of a file."""
    sha = sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            sha.update(block)
            on_bytes(len(block))
    return sha.hexdigest()


def archive_faults(path: Path, name: str) -> list[Fault]:
    """A fault when a zip archive's checksums don't match its contents; other files have no checksums."""
    if not zipfile.is_zipfile(path):
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        bad = str(error)
    return [Fault(WeightsCode.DAMAGED, name, found=f"{bad}: its checksum is wrong")] if bad else []


def not_finite(file: TensorFile, keys: Iterable[str], on_bytes: OnBytes) -> list[Fault]:
    """Faults of tensors that hold NaN or infinity."""
    faults = []
    for key in keys:
        if count := int(file[key].numel() - torch.isfinite(file[key]).sum()):
            reason = f"{count} of {file[key].numel()} are NaN or infinite"
            faults.append(Fault(WeightsCode.NOT_FINITE, file.name, key, "finite numbers", reason))
        on_bytes(file[key].nbytes)
    return faults
