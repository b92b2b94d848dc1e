"""Whole files read once, with progress: digests, and numbers that are none."""

import zipfile
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

import torch

from stages.infer.sonic.faults import Fault, WeightsCode
from stages.infer.sonic.tensors import TensorFile

BLOCK = 8 << 20
Step = Callable[[int], None]
"""Told how many bytes more are done."""


def digest(path: Path, step: Step) -> str:
    """Hex SHA-256 of a file."""
    sha = sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            sha.update(block)
            step(len(block))
    return sha.hexdigest()


def damaged(path: Path, name: str) -> list[Fault]:
    """What an archive's own checksums say of its contents; nothing of other files, which have none."""
    if not zipfile.is_zipfile(path):
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        bad = str(error)
    return [Fault(WeightsCode.DAMAGED, name, found=f"{bad}: its checksum is wrong")] if bad else []


def not_finite(file: TensorFile, keys: Iterable[str], step: Step) -> list[Fault]:
    """Tensors that hold NaN or infinity."""
    found = []
    for key in keys:
        if spoiled := int(file[key].numel() - torch.isfinite(file[key]).sum()):
            told = f"{spoiled} of {file[key].numel()} are NaN or infinite"
            found.append(Fault(WeightsCode.NOT_FINITE, file.name, key, "finite numbers", told))
        step(file[key].nbytes)
    return found
