"""Checks the item entries of a HEIF file (ISO/IEC 14496-12, `infe`) before pi-heif reads them.

pi-heif 1.4 passes the types of metadata items to Python as UTF-8 without a check, and the process crashes on others.
"""

import re

_ENTRY = re.compile(rb"infe")
_TYPE_AT = {2: 8, 3: 10}
"""Offset of the item's type by the version of the entry: after version, flags, id and protection index."""


def require_readable_items(data: bytes) -> None:
    """Check that types and names of all items in the HEIF file ``data`` are UTF-8. Raises ValueError.

    Every occurrence of `infe` is checked, wherever a damaged file has it.
    """
    for entry in _ENTRY.finditer(data):
        size = int.from_bytes(data[max(0, entry.start() - 4) : entry.start()], "big")
        body = data[entry.end() : entry.start() - 4 + size]
        if body:
            body[_TYPE_AT.get(body[0], len(body)) :].decode()
