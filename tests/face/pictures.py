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


def on_canvas(width: int, height: int, side: int, left: int, top: int) -> NDArray[np.uint8]:
    """The portrait as a square of `side` pixels on a grey canvas."""
    canvas = Image.new("RGB", (width, height), (120, 120, 120))
    canvas.paste(portrait().resize((side, side), Image.Resampling.LANCZOS), (left, top))
    return np.asarray(canvas)


def couple() -> NDArray[np.uint8]:
    """A smaller, mirrored copy to the left of the portrait: two faces."""
    canvas = Image.new("RGB", (900, 512), (120, 120, 120))
    canvas.paste(portrait().transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((384, 384)), (0, 60))
    canvas.paste(portrait(), (388, 0))
    return np.asarray(canvas)
