"""A safetensors file written tensor by tensor: the library's own writer wants all of them in memory at once.

The format: eight bytes of little-endian header length, a JSON header with dtype, shape and byte range of each tensor,
then the tensors in C order without gaps.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import torch

from stages.infer.sonic.faults import Fault, WeightsCode, WeightsRefused
from stages.infer.sonic.weights.reading import Step

_NAMES = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32", torch.float64: "F64"}
_ALIGNMENT = 64
"""Tensors of a mapped file must begin at multiples of their items' size; vector loads like more."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A tensor to be written: its name there, and what it becomes."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """Without the header's entry."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


def in_order(tensors: list[Planned]) -> list[Planned]:
    """Wide items first, so that all stay aligned without gaps."""
    return sorted(tensors, key=lambda tensor: (-tensor.dtype.itemsize, tensor.name))


def header(tensors: list[Planned], metadata: Mapping[str, str]) -> bytes:
    """Length and JSON of the header, padded by spaces to the alignment."""
    entries: dict[str, object] = {"__metadata__": dict(metadata)}
    at = 0
    for tensor in tensors:
        span = [at, at + tensor.bytes]
        entries[tensor.name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": span}
        at = span[1]
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


class DigestingFile:
    """What is written, and its SHA-256."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha = sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Write and digest."""
        self._file.write(data)
        self._sha.update(data)
        self.size += len(data)

    @property
    def sha256(self) -> str:
        """Of everything written."""
        return self._sha.hexdigest()


def write(
    path: Path,
    tensors: list[Planned],
    source: Callable[[str], torch.Tensor],
    metadata: Mapping[str, str],
    step: Step,
    name: str,
) -> tuple[int, str]:
    """Write and sync ``path``; bytes and SHA-256 of it. One tensor is in memory at a time.

    ``source`` gives a tensor by its name in the new file, ``name`` is the source's file in messages. Raises
    WeightsRefused (NOT_FINITE) for a number that is none, or that the new dtype can't hold; OSError.
    """
    tensors = in_order(tensors)
    with path.open("wb") as raw:
        file = DigestingFile(raw)
        file.write(header(tensors, metadata))
        for planned in tensors:
            tensor = source(planned.name)
            made = tensor.to(planned.dtype).contiguous()
            if not torch.isfinite(made).all():
                raise WeightsRefused([_overflow(planned, tensor, name)])
            file.write(made.reshape(-1).view(torch.uint8).numpy().data)
            step(planned.bytes)
        raw.flush()
        os.fsync(raw.fileno())
    return file.size, file.sha256


def _overflow(planned: Planned, tensor: torch.Tensor, name: str) -> Fault:
    wanted = f"finite numbers in {str(planned.dtype).removeprefix('torch.')}"
    largest = tensor.abs().max().item()
    return Fault(WeightsCode.NOT_FINITE, name, planned.name, wanted, f"magnitudes up to {largest:g}")
