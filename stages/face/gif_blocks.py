"""Checks the blocks of a GIF before its first frame (GIF89a, sections 18 to 26).

Pillow reads them one by one and appends comments to one another: a file of tiny blocks would take minutes.
"""

MAX_BLOCKS = 4096
"""Blocks before the first frame, sub-blocks included: a megabyte of comments or metadata."""
_HEADER = 13
_EXTENSION, _FRAME = 0x21, 0x2C


def require_few_blocks(data: bytes) -> None:
    """Check the number of blocks before the first frame of the GIF file ``data``. Raises ValueError.

    A truncated file passes: the decoder reports it.
    """
    if len(data) <= _HEADER:
        return
    flags = data[10]
    position = _HEADER + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    blocks = 0
    while position < len(data) and data[position] != _FRAME:
        if data[position] == _EXTENSION:
            position += 2
            while position < len(data) and data[position]:
                position += data[position] + 1
                blocks = _counted(blocks)
        position += 1  # The end of an extension, or a stray byte, which decoders skip.
        blocks = _counted(blocks)


def _counted(blocks: int) -> int:
    if blocks == MAX_BLOCKS:
        raise ValueError(f"more than {MAX_BLOCKS} blocks before its picture")
    return blocks + 1
