"""Pictures in every format and state of damage, made from the sample portrait."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PORTRAIT = Path(__file__).parents[2] / "samples" / "portrait.png"


def portrait() -> Image.Image:
    return Image.open(PORTRAIT).convert("RGB")


def cut_out() -> Image.Image:
    """The face of the portrait, 128 x 160: small, and higher than wide; the pictures in `data` show it."""
    return portrait().crop((100, 0, 356, 320)).resize((128, 160))


def pixels() -> NDArray[np.uint8]:
    return np.asarray(portrait())


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises `width` x `height` pixels and whose data holds almost none."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


def many_scans(width: int, height: int, scans: int, *, multi_picture: bool = False) -> bytes:
    """A grey progressive JPEG of one scan for the means of its blocks and `scans` more that say nothing of any block.

    `multi_picture`: with the segment that makes Pillow take it for an MPO.
    """

    def segment(marker: int, body: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body

    def code(kind: int, symbol: int) -> bytes:
        """A Huffman table of one symbol, coded as the bit 0."""
        return segment(0xC4, bytes([kind, 1, *bytes(15), symbol]))

    blocks = -(-width // 8) * -(-height // 8)
    bits = ""  # Runs of empty blocks: 0xE0 is "2^14 and as many more as the 14 bits that follow say".
    while blocks > 0:
        run = min(max(blocks, 1 << 14), (1 << 15) - 1)
        bits += "0" + format(run - (1 << 14), "014b")
        blocks -= run
    bits += "1" * (-len(bits) % 8)
    nothing = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    means = bytes((-(-width // 8) * -(-height // 8) + 7) // 8)
    start = b"\xff\xd8"
    if multi_picture:
        # One directory (little-endian TIFF): version, number of pictures, where they are.
        entries = ((0xB000, 7, 4, 0x30303130), (0xB001, 4, 1, 2), (0xB002, 7, 32, 50))
        table = struct.pack("<2sHIH", b"II", 42, 8, 3) + b"".join(struct.pack("<HHII", *e) for e in entries) + bytes(4)
        start += segment(0xE2, b"MPF\0" + table + bytes(32))
    header = segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC2, struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0))
    empty = segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + nothing
    first = code(0x00, 0) + code(0x10, 0xE0) + segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + means
    return start + header + first + empty * scans + b"\xff\xd9"


def on_canvas(width: int, height: int, side: int, left: int, top: int) -> NDArray[np.uint8]:
    """The portrait as a square of `side` pixels on a grey canvas."""
    canvas = Image.new("RGB", (width, height), (120, 120, 120))
    canvas.paste(portrait().resize((side, side), Image.Resampling.LANCZOS), (left, top))
    return np.asarray(canvas)


def in_profile() -> NDArray[np.uint8]:
    """The portrait as if printed on a column as wide as the head that is turned by 68 degrees."""
    middle, radius, turn = 225, 50, np.radians(68)
    columns = np.arange(512)
    angle = np.arcsin(np.clip((columns - middle) / radius, -1, 1))
    turned = middle + radius * np.sin(np.clip(angle + turn, -np.pi / 2, np.pi / 2))
    source = np.where(np.abs(columns - middle) < radius, turned, columns)
    return np.ascontiguousarray(pixels()[:, np.rint(source).astype(int)])


def couple() -> NDArray[np.uint8]:
    """A smaller, mirrored copy to the left of the portrait: two faces."""
    canvas = Image.new("RGB", (900, 512), (120, 120, 120))
    canvas.paste(portrait().transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((384, 384)), (0, 60))
    canvas.paste(portrait(), (388, 0))
    return np.asarray(canvas)
