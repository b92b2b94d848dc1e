"""Checks the item entries of a HEIF file (ISO/IEC 14496-12, `infe`) before pi-heif reads them.

pi-heif 1.4 passes the types of metadata items to Python as UTF-8 without a check, and the process crashes on others.
"""

import re

MAX_ENTRIES = 4096
"""Cameras write a tile of 512 pixels for each entry: 250 for 65 megapixels, some more for thumbnails and maps."""
MAX_ENTRY_BYTES = 4096
"""An entry has 21 bytes, a name and a content type."""
_ENTRY = re.compile(rb"infe")
_TYPE_AT = {2: 8, 3: 10}
"""Offset of the item's type by the version of the entry: after version, flags, id and protection index."""
_OVERLAY = b"iovl"
"""A picture made of others, each as often as it likes, and each decoded as often. No camera writes it."""


def require_readable_items(data: bytes) -> None:
    """Check that types and names of all items in the HEIF file ``data`` are UTF-8, and that none is an overlay. Raises
    ValueError.

    Every occurrence of `infe` is checked, wherever a damaged file has it, so their number and size are limited.
    """
    for number, entry in enumerate(_ENTRY.finditer(data), 1):
        if number > MAX_ENTRIES:
            raise ValueError(f"more than {MAX_ENTRIES} item entries")
        type_at = _TYPE_AT.get(data[entry.end()]) if entry.end() < len(data) else None
        if type_at is None:
            continue  # another version, or coded data that contains these letters
        size = int.from_bytes(data[max(0, entry.start() - 4) : entry.start()], "big")
        end = entry.start() - 4 + size
        if end - entry.end() > MAX_ENTRY_BYTES:
            raise ValueError(f"an item entry of {size} bytes")
        kind = data[entry.end() + type_at : end]
        if kind.startswith(_OVERLAY):
            raise ValueError("an overlay of pictures")
        kind.decode()
