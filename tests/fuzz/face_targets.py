"""Portraits in every format that is accepted, and what is read inside of them: colour profiles and EXIF data."""

import functools
import random
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from shared.messages.codes import Rejected
from stages.face import STAGE
from stages.face.colour import exif_orientation
from stages.face.decode import decode_portrait
from stages.face.formats import AVIF, GIF, HEAD_BYTES, HEIC, JPEG, PNG, WEBP, recognise, with_openers_brand
from stages.face.gif_blocks import require_few_blocks
from stages.face.heif_items import require_readable_items
from stages.face.jpeg_segments import reduce_header
from stages.face.jpeg_structure import MAX_SCANS, read_structure
from stages.face.png_chunks import reduce_png
from stages.face.webp_canvas import read_canvas_size
from tests.face.pictures import encoded, exif, many_scans, png_chunk, portrait
from tests.fuzz.media_parts import boxes, chunks, gif_blocks, jpeg_segments, png_chunks, png_sums
from tests.fuzz.mutation import mutate_bytes, structured
from tests.fuzz.target import Mutator, Target, ending_of

DATA = Path(__file__).parents[1] / "face" / "data"
MAX_PIXELS = 65_000_000
SIZE = (48, 40)


def decode_picture(path: Path) -> str:
    """Decode as the stage does: a rejection of the picture, or pixels."""
    try:
        pixels = decode_portrait(path)
    except Rejected as rejected:
        assert rejected.code.startswith("IMAGE_"), rejected.code
        return ending_of(rejected)
    assert pixels.dtype == np.uint8 and pixels.shape[2:] == (3,), pixels.shape
    assert min(pixels.shape[:2]) >= 32 and pixels.size <= 3 * MAX_PIXELS
    return "pixels"


def parse_picture(path: Path) -> str:
    """Our own parsers alone: the format, and what each of them says of the file."""
    data = path.read_bytes()
    found = recognise(data[:HEAD_BYTES])
    try:
        if found is PNG:
            reduce_png(data)
        elif found is JPEG:
            data = reduce_header(data)
            structure = read_structure(data)
            assert structure.scans <= MAX_SCANS + 1
        elif found is WEBP:
            assert min(read_canvas_size(data)) >= 0
        elif found in (HEIC, AVIF):
            require_readable_items(data)
            assert len(with_openers_brand(data, found)) >= 0
        elif found is GIF:
            require_few_blocks(data)
        exif_orientation(data)
    except (ValueError, struct.error) as error:  # `decode_portrait` makes rejections of both.
        return f"refused: {type(error).__name__}"
    return found.name if found else "nothing known"


def in_png(kind: bytes, before: bytes, path: Path) -> str:
    """Decode a picture with the input as a chunk of metadata."""
    whole = encoded(Image.new("RGB", SIZE, (200, 120, 60)), "PNG")
    path.write_bytes(whole[:33] + png_chunk(kind, before + path.read_bytes()) + whole[33:])
    return decode_picture(path)


def in_jpeg(path: Path) -> str:
    """Decode a picture with the input as its colour profile, uncompressed."""
    image = Image.new("RGB", SIZE, (200, 120, 60))
    path.write_bytes(encoded(image, "JPEG", icc_profile=path.read_bytes()[:60_000]))
    return decode_picture(path)


def profiles() -> Sequence[bytes]:
    made = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), ImageCms.createProfile("XYZ"))
    return [ImageCms.ImageCmsProfile(profile).tobytes() for profile in made]


def exif_data() -> Sequence[bytes]:
    return [exif(6).removeprefix(b"Exif\0\0"), exif(8)]


@functools.cache
def seeds(name: str) -> Sequence[bytes]:
    """Pictures of the format, as small as one with a face can be."""
    small = portrait().resize(SIZE)
    alpha = small.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(SIZE))
    second = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    frames = {"save_all": True, "append_images": [second]}
    profile = profiles()[0]
    match name:
        case "jpeg":
            return [
                encoded(small, "JPEG", exif=exif(6), icc_profile=profile),
                encoded(small, "JPEG", progressive=True),
                encoded(small.convert("CMYK"), "JPEG"),
                encoded(small.convert("L"), "JPEG", restart_marker_rows=1),
                encoded(small, "MPO", **frames),
                many_scans(64, 64, 5),
            ]
        case "png":
            grey16 = Image.fromarray(np.asarray(small.convert("L")).astype(np.uint16) * 257)
            return [
                encoded(small, "PNG", icc_profile=profile, exif=exif(3)),
                encoded(small.quantize(16), "PNG", transparency=3),
                encoded(alpha, "PNG"),
                encoded(grey16, "PNG"),
                encoded(small, "PNG", **frames),
                encoded(small.convert("1"), "PNG"),
            ]
        case "webp":
            return [
                encoded(small, "WEBP", exif=exif(6), icc_profile=profile),
                encoded(alpha, "WEBP", lossless=True),
                encoded(small, "WEBP", **frames),
            ]
        case "avif":
            return [encoded(small, "AVIF"), encoded(alpha, "AVIF", exif=exif(6)), encoded(small, "AVIF", **frames)]
        case "heic":
            return [data for path in sorted(DATA.glob("*.heic")) if len(data := path.read_bytes()) < 20_000]
        case "gif":
            return [encoded(small.quantize(64), "GIF"), encoded(small.quantize(8), "GIF", **frames, comment=b"a" * 99)]
        case _:
            return [
                encoded(small, "BMP"),
                encoded(small.quantize(16), "BMP"),
                encoded(small.convert("1"), "BMP"),
                encoded(alpha, "BMP"),
            ]


MUTATORS: dict[str, Mutator] = {
    "jpeg": structured(jpeg_segments),
    "png": structured(png_chunks, png_sums),
    "webp": structured(chunks(12, big=False)),
    "avif": structured(boxes),
    "heic": structured(boxes),
    "gif": structured(gif_blocks),
}
NAMES = ("jpeg", "png", "webp", "avif", "heic", "gif", "bmp")
MEMORY_MB = STAGE.memory_mb or 0


def mutate_any(rng: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """By the structure of any format."""
    return rng.choice([mutate_bytes, *MUTATORS.values()])(rng, data, pool)


TARGETS = [
    *(
        Target(
            f"face.{name}",
            functools.partial(seeds, name),
            decode_picture,
            MUTATORS.get(name, mutate_bytes),
            memory_mb=MEMORY_MB,
        )
        for name in NAMES
    ),
    Target("face.profile", profiles, in_jpeg, memory_mb=MEMORY_MB),
    Target("face.exif", exif_data, functools.partial(in_png, b"eXIf", b""), memory_mb=MEMORY_MB),
    Target("face.parsers", lambda: [one for name in NAMES for one in seeds(name)], parse_picture, mutate_any,
           memory_mb=MEMORY_MB, in_python=True),
]  # fmt: skip
