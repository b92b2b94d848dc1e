"""Writes a safetensors file tensor by tensor; the library's own writer needs all of them in memory at once.

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

from stages.infer.sonic.weights.faults import Fault, WeightsCode, WeightsRefused
from stages.infer.sonic.weights.reading import OnBytes

_NAMES = {torch.float16: "F16", torch.bfloat16: "BF16", torch.float32: "F32", torch.float64: "F64"}
_ALIGNMENT = 64
"""Tensors of a mapped file must begin at multiples of their item size; a larger alignment suits vector loads."""


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """A tensor to write: its name in the new file, its shape and its new dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """Bytes of the data, without the header's entry."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


def in_order(tensors: list[PlannedTensor]) -> list[PlannedTensor]:
    """Sorted by item size, largest first, so that all are aligned without gaps."""
    return sorted(tensors, key=lambda tensor: (-tensor.dtype.itemsize, tensor.name))


def header(tensors: list[PlannedTensor], metadata: Mapping[str, str]) -> bytes:
    """Length and JSON of the header, padded by spaces to the alignment."""
    entries: dict[str, object] = {"__metadata__": dict(metadata)}
    start = 0
    for tensor in tensors:
        offsets = [start, start + tensor.bytes]
        entries[tensor.name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        start = offsets[1]
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


class DigestingFile:
    """A file and the SHA-256 of what was written to it."""

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
        """Hex digest of everything written."""
        return self._sha.hexdigest()


def write(
    path: Path,
    tensors: list[PlannedTensor],
    source: Callable[[str], torch.Tensor],
    metadata: Mapping[str, str],
    on_bytes: OnBytes,
    name: str,
) -> tuple[int, str]:
    """Write and sync ``path``, one tensor in memory at a time; returns its bytes and SHA-256.

    ``source`` returns a tensor by its name in the new file; ``name`` is the source file in messages. Raises
    WeightsRefused (NOT_FINITE) for NaN, infinity or a number that the new dtype can't hold. Raises OSError.
    """
    tensors = in_order(tensors)
    with path.open("wb") as raw:
        file = DigestingFile(raw)
        file.write(header(tensors, metadata))
        for planned in tensors:
            tensor = source(planned.name)
            converted = tensor.to(planned.dtype).contiguous()
            if not torch.isfinite(converted).all():
                raise WeightsRefused([_overflow(planned, tensor, name)])
            file.write(converted.reshape(-1).view(torch.uint8).numpy().data)
            on_bytes(planned.bytes)
        raw.flush()
        os.fsync(raw.fileno())
    return file.size, file.sha256


def _overflow(planned: PlannedTensor, tensor: torch.Tensor, name: str) -> Fault:
    expected = f"finite numbers in {str(planned.dtype).removeprefix('torch.')}"
    largest = tensor.abs().max().item()
    return Fault(WeightsCode.NOT_FINITE, name, planned.name, expected, f"magnitudes up to {largest:g}")
