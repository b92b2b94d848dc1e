"""SHA-256 and size of a file, taken in the same pass that sends or writes it."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botocore.response import StreamingBody

BLOCK = 1 << 20
"""Bytes per read from the store."""


@dataclass(frozen=True, slots=True)
class Digest:
    """Hex SHA-256 and size in bytes of what passed."""

    sha256: str
    size: int


class HashingReader(io.BufferedReader):
    """A file opened for reading, which digests what is read from it.

    Reading starts anew after ``seek(0)``, as an HTTP client does before it sends a body again. Other jumps between
    reads raise OSError: the digest would be of something else than the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._hash = hashlib.sha256()
        self._size = 0

    def read(self, size: int | None = -1, /) -> bytes:
        at = self.tell()
        if at == 0:
            self._hash, self._size = hashlib.sha256(), 0
        if at != self._size:
            raise OSError("a digested file must be read in order")
        block = super().read(size)
        self._hash.update(block)
        self._size += len(block)
        return block

    @property
    def digest(self) -> Digest:
        """Of everything read since the start of the file."""
        return Digest(self._hash.hexdigest(), self._size)


def save(body: "StreamingBody", path: Path, max_bytes: int) -> Digest:
    """Write an object's body to ``path`` and digest it.

    Stops at the first block that passes ``max_bytes``, whatever length the store had announced: the size returned is
    then larger than ``max_bytes``.
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
