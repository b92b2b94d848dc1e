"""Reads the parameters of a CTranslate2 ``model.bin`` (binary format version 6)."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def read_parameters(data: bytes) -> dict[str, NDArray[Any]]:
    """Arrays by name, in the dtype of the file (float16 for the Whisper model used here); views of ``data``."""
    cursor = _Cursor(data)
    cursor.number("I")  # version of the container
    cursor.text()  # name of the model specification
    cursor.number("I")  # revision of the specification
    parameters = {}
    for _ in range(cursor.number("I")):
        name = cursor.text()
        shape = [cursor.number("I") for _ in range(cursor.number("B"))]
        dtype = np.dtype(_DTYPES[cursor.number("B")])
        parameters[name] = np.frombuffer(cursor.take(cursor.number("I")), dtype).reshape(shape)
    return parameters


class _Cursor:
    """A position in little-endian binary data."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._offset = 0

    def take(self, size: int) -> memoryview:
        self._offset += size
        return self._data[self._offset - size : self._offset]

    def number(self, code: str) -> int:
        value: int = struct.unpack("<" + code, self.take(struct.calcsize(code)))[0]
        return value

    def text(self) -> str:
        """A string with its 16-bit length, which counts the closing zero."""
        return bytes(self.take(self.number("H"))[:-1]).decode()
