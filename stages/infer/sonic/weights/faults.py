"""Why weights are refused: stable codes, and one row per fault."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class WeightsCode(StrEnum):
    """Why a file or a folder is refused. A code never changes its meaning: scripts match on it, and a service that is
    not ready reports it."""

    # The folder and its files.
    FOLDER_MISSING = "FOLDER_MISSING"
    FILE_MISSING = "FILE_MISSING"
    COMFY_LAYOUT = "COMFY_LAYOUT"
    LFS_POINTER = "LFS_POINTER"
    WEB_PAGE = "WEB_PAGE"
    TRUNCATED = "TRUNCATED"
    DAMAGED = "DAMAGED"
    PICKLE_WITH_CODE = "PICKLE_WITH_CODE"
    NOT_WEIGHTS = "NOT_WEIGHTS"
    SIZE_DIFFERS = "SIZE_DIFFERS"
    DIGEST_DIFFERS = "DIGEST_DIFFERS"
    # The tensors in them.
    DICE_TALK = "DICE_TALK"
    PREFIX_DIFFERS = "PREFIX_DIFFERS"
    KEY_MISSING = "KEY_MISSING"
    KEY_UNEXPECTED = "KEY_UNEXPECTED"
    KEY_RENAMED = "KEY_RENAMED"
    SHAPE_DIFFERS = "SHAPE_DIFFERS"
    DTYPE_UNKNOWN = "DTYPE_UNKNOWN"
    NOT_FINITE = "NOT_FINITE"
    # The configuration.
    CONFIG_INVALID = "CONFIG_INVALID"
    SIZES_CONFLICT = "SIZES_CONFLICT"
    # Conversion.
    MANIFEST_INVALID = "MANIFEST_INVALID"
    UNFINISHED = "UNFINISHED"
    NO_SPACE = "NO_SPACE"
    OUTPUT_TAKEN = "OUTPUT_TAKEN"
    LICENCE_NOT_ACCEPTED = "LICENCE_NOT_ACCEPTED"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: where it is, what was expected there and what was found (empty where the code says enough)."""

    code: WeightsCode
    file: str
    """Relative to the tree."""
    key: str = ""
    """The tensor or the field of the configuration."""
    expected: str = ""
    found: str = ""

    def __str__(self) -> str:
        where = ": ".join(filter(None, (self.file, self.key)))
        both = f"expected {self.expected}, found {self.found}" if self.expected and self.found else ""
        return f"{where}: {both or self.found or _plain(self)}"


class WeightsRefused(Exception):
    """The files are not the model's weights; none of them was loaded.

    ``code`` is the first fault's, ``faults`` all of them, ``message`` one line that names file and key.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        first, more = faults[0], len(faults) - 1
        self.code = first.code
        self.faults = tuple(faults)
        self.message = str(first) + (f" (and {more} more)" if more else "")
        super().__init__(f"{self.code}: {self.message}")


def _plain(fault: Fault) -> str:
    words = fault.code.replace("_", " ").lower()
    return f"expected {fault.expected}" if fault.expected else words
