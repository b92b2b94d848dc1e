"""Integers of fewer bits than their container of four bytes: whether they are its upper or its lower bits.

The upper ones by Microsoft's WAVEFORMATEXTENSIBLE; some drivers and programs store the lower ones, with the sign in
the bits above.
"""

from enum import Enum, auto
from typing import BinaryIO

import numpy as np

_BLOCK_BYTES = 1 << 20


class Place(Enum):
    """Where the valid bits lie."""

    UPPER = auto()
    LOWER = auto()
    ALL = auto()
    """There are more of them than stated, or they are no integers."""


def place(file: BinaryIO, first: int, length: int, valid: int, *, big_endian: bool) -> Place:
    """Find the place of ``valid`` bits in the samples of ``length`` bytes that begin at ``first``.

    All samples are read: a recording may begin with silence. They are the upper bits when the bits below are 0 in every
    sample, however quiet it is; else the lower ones when the bits above repeat the sign in every sample.
    """
    file.seek(first)
    uses_low, fits = False, True
    while length >= 4 and (fits or not uses_low):
        data = file.read(min(length - length % 4, _BLOCK_BYTES))
        if len(data) < 4:
            break
        samples = np.frombuffer(data[: len(data) - len(data) % 4], ">i4" if big_endian else "<i4")
        signs = samples >> valid - 1
        uses_low = uses_low or bool((samples & (1 << 32 - valid) - 1).any())
        fits = fits and bool(((signs == 0) | (signs == -1)).all())
        length -= len(data)
    if not uses_low:
        return Place.UPPER
    return Place.LOWER if fits else Place.ALL
