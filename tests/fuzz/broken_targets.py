"""A reader with every fault that a campaign must find."""

import ctypes
from pathlib import Path

from tests.fuzz.target import Target


def read(path: Path) -> str:
    """Fail as the input says."""
    match path.read_bytes():
        case b"crash":
            ctypes.string_at(0)
        case b"cpu":
            while True:
                pass
        case b"raise":
            raise KeyError("untyped")
        case b"memory":
            bytearray(8 << 30)
    return "read"


TARGETS = [Target("broken.reader", lambda: [b"fine"], read)]
