"""Computes SHA-256 and size of a file in the same pass that sends or writes it."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botocore.response import StreamingBody

BLOCK = 1 << 20
"""Bytes per read from the object store."""


@dataclass(frozen=True, slots=True)
class Digest:
    """Hex SHA-256 and size in bytes of a file."""

    sha256: str
    size: int


class HashingReader(io.BufferedReader):
    """A file opened for reading, which digests the bytes that are read from it.

    ``seek(0)`` restarts the digest, as an HTTP client does before it sends a body again. A read after any other seek
    raises OSError, because the digest would not be that of the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._hash = hashlib.sha256()
        self._size = 0

    def read(self, size: int | None = -1, /) -> bytes:
        position = self.tell()
        if position == 0:
            self._hash, self._size = hashlib.sha256(), 0
        if position != self._size:
            raise OSError("a digested file must be read in order")
        block = super().read(size)
        self._hash.update(block)
        self._size += len(block)
        return block

    @property
    def digest(self) -> Digest:
        """Digest of all bytes read since the start of the file."""
        return Digest(self._hash.hexdigest(), self._size)


def save(body: "StreamingBody", path: Path, max_bytes: int) -> Digest:
    """Write an object's body to ``path``; returns its digest.

    Stops at the first block beyond ``max_bytes``, whatever length the object store announced: the returned size is then
    larger than ``max_bytes``.
    """
    sha, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        while block := body.read(BLOCK):
            size += len(block)
            if size > max_bytes:
                break
            sha.update(block)
            file.write(block)
    return Digest(sha.hexdigest(), size)
