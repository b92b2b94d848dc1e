"""Reads the size of a WebP picture from its header: Pillow's opener already allocates the whole canvas, twice."""

import struct


def read_canvas_size(data: bytes) -> tuple[int, int]:
    """Width and height of the WebP file ``data`` (RFC 9649). Raises ValueError when it has no picture chunk first."""
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        raise ValueError("truncated")
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack("<I", body[1:5])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("not a picture chunk")
