"""What the artifacts of a stage contain: declared in its StageSpec, listed in docs/messages.md."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ArrayArtifact:
    """An array of numbers."""

    dtype: str
    """NumPy's name of the type; values of several bytes are little-endian."""
    shape: tuple[int | str, ...]
    """Size of each axis: a number, or a name where it depends on the request; a name has one value per task."""
    unit: str
    """What a value means, with its unit."""
    format: Literal["npy", "raw", "raw or lossless H.264"] = "npy"
    """``npy``: a NumPy file, which holds type and shape; ``raw``: the values alone, in C order; or such values
    as lossless H.264, where the stage's metadata names the codec."""
    chunked: bool = False
    """A sequence in chunks along the first axis, passed to ``Context.upload_chunk`` instead of ``Result.files``."""


@dataclass(frozen=True, slots=True)
class FileArtifact:
    """A file in a format of its own."""

    media_type: str
    content: str


Artifact = ArrayArtifact | FileArtifact
