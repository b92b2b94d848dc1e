"""Damaged pictures: what every viewer shows is rendered, what lacks rows is refused, nothing exceeds the memory."""

import multiprocessing
import random
import struct
import zlib
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from shared.messages.codes import Code, Rejected
from shared.slot.limits import limit_memory
from stages.face import STAGE
from stages.face.decode import decode_portrait
from stages.face.jpeg_structure import read_structure
from tests.face.pictures import cut_out, encoded, pixels, png_chunk, portrait
from tests.face.test_face_decode import Decode, decode, difference, refused

__all__ = ["decode"]

DATA = Path(__file__).parent / "data"
END = b"\xff\xd9"


def with_chunk(data: bytes, chunk: bytes) -> bytes:
    """The PNG with a chunk after its header."""
    return data[:33] + chunk + data[33:]


def with_wrong_checksum(data: bytes, kind: bytes) -> bytes:
    at = data.index(kind)
    end = at + 4 + struct.unpack(">I", data[at - 4 : at])[0]
    return data[:end] + bytes(byte ^ 0xFF for byte in data[end : end + 4]) + data[end + 4 :]


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"tEXt", b"prompt\0" + b"a" * 2_000_000),
        png_chunk(b"zTXt", b"prompt\0\0" + zlib.compress(bytes(64 * 1024 * 1024))),
        png_chunk(b"iTXt", b"prompt\0\1\0\0\0" + zlib.compress(b"a" * 2_000_000)),
        png_chunk(b"iTXt", b"\0"),
        png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(64 * 1024 * 1024))),
        png_chunk(b"iCCP", b"icc"),
        png_chunk(b"tIME", b"")[:-4] + b"none",
        png_chunk(b"iCCP", b"icc\0\0profile")[:-4] + b"none",
        png_chunk(b"pHYs", b"short"),
        png_chunk(b"prVt", bytes(5_000_000)),
    ],
    ids=["text", "text-bomb", "itxt", "bad-itxt", "profile-bomb", "bad-profile", "bad-time", "bad-sum", "phys", "own"],
)
def test_png_metadata_that_is_large_or_damaged_is_skipped(decode: Decode, chunk: bytes) -> None:
    assert difference(decode(with_chunk(encoded(portrait(), "PNG"), chunk)), pixels()) == 0


def test_large_profile_of_a_png_is_applied(decode: Decode) -> None:
    profile = red_and_blue_exchanged()
    padded = profile + np.random.default_rng(0).bytes(1_500_000)
    padded = struct.pack(">I", len(padded)) + padded[4:]
    assert difference(decode(encoded(portrait(), "PNG", icc_profile=padded)), pixels()[..., ::-1]) < 8


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_colour_profile_is_applied_in_every_format(decode: Decode, file_format: str) -> None:
    data = encoded(cut_out(), file_format, quality=95, icc_profile=red_and_blue_exchanged())
    assert difference(decode(data), np.asarray(cut_out())[..., ::-1]) < 10


def red_and_blue_exchanged() -> bytes:
    """The profile of sRGB with the colorants of red and blue in each other's place."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"temp").replace(b"bXYZ", b"rXYZ").replace(b"temp", b"bXYZ")


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT"])
def test_png_with_a_wrong_checksum_of_a_critical_chunk_is_refused(decode: Decode, kind: bytes) -> None:
    rejected = refused(decode, with_wrong_checksum(encoded(portrait(), "PNG"), kind))
    assert rejected.code == Code.IMAGE_UNREADABLE
    assert kind.decode() in rejected.message


def test_png_without_its_last_chunk_is_rendered(decode: Decode) -> None:
    assert difference(decode(encoded(portrait(), "PNG")[:-12]), pixels()) == 0


def test_png_with_a_wrong_checksum_of_its_last_chunk_is_rendered(decode: Decode) -> None:
    assert difference(decode(with_wrong_checksum(encoded(portrait(), "PNG"), b"IEND")), pixels()) == 0


JPEGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "no-subsampling": {"subsampling": 0},
    "restarts": {"restart_marker_rows": 1},
    "progressive": {"progressive": True},
    "grey": {"mode": "L"},
    "grey-progressive": {"mode": "L", "progressive": True},
    "cmyk": {"mode": "CMYK"},
}


def jpeg(kind: str, image: Image.Image | None = None) -> bytes:
    options = dict(JPEGS[kind])
    picture = (image or portrait()).convert(options.pop("mode", "RGB"))
    return encoded(picture, "JPEG", quality=90, **options)


@pytest.mark.parametrize("kind", JPEGS)
def test_jpeg_without_end_marker_is_rendered(decode: Decode, kind: str) -> None:
    whole = jpeg(kind)
    assert whole.endswith(END)
    for data in (whole[:-2], whole[:-1], whole[:-2] + bytes(5000)):
        assert np.array_equal(decode(data), decode(whole))


@pytest.mark.parametrize("ending", [b"", END, bytes(100_000)], ids=["nothing", "end", "zeros"])
@pytest.mark.parametrize("kept", [0.5, 0.9, 0.995])
@pytest.mark.parametrize("kind", [kind for kind in JPEGS if "progressive" not in kind])
def test_jpeg_with_missing_rows_is_refused(decode: Decode, kind: str, kept: float, ending: bytes) -> None:
    whole = jpeg(kind)
    rejected = refused(decode, whole[: int(len(whole) * kept)] + ending)
    assert rejected.code == Code.IMAGE_UNREADABLE
    assert "truncated JPEG" in rejected.message


@pytest.mark.parametrize("height", [484, 488, 490, 496, 500])
def test_jpeg_with_an_end_marker_behind_missing_last_rows_is_refused(decode: Decode, height: int) -> None:
    """Whatever part of the last blocks belongs to the picture."""
    whole = jpeg("restarts", portrait().crop((0, 0, 512, height)))
    last_row = max(whole.rfind(bytes((0xFF, restart))) for restart in range(0xD0, 0xD8))
    assert refused(decode, whole[:last_row] + END).code == Code.IMAGE_UNREADABLE


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.995])
def test_progressive_jpeg_that_ends_in_a_scan_is_refused(decode: Decode, kept: float) -> None:
    whole = jpeg("progressive")
    assert refused(decode, whole[: int(len(whole) * kept)]).code == Code.IMAGE_UNREADABLE


def test_progressive_jpeg_that_ends_before_its_last_scan_is_refused(decode: Decode) -> None:
    whole = jpeg("progressive")
    last = whole.rindex(b"\xff\xda")
    tables = whole.rfind(b"\xff\xc4", 0, last)  # the scan's Huffman table
    assert refused(decode, whole[:tables]).code == Code.IMAGE_UNREADABLE
    assert not read_structure(whole[:tables]).has_all_scans
    assert read_structure(whole).has_all_scans


@pytest.mark.parametrize("kind", ["baseline", "grey", "cmyk"])
def test_jpeg_that_is_grey_at_its_end_is_rendered(decode: Decode, kind: str) -> None:
    """As missing rows look."""
    picture = portrait()
    picture.paste((128, 128, 128), (0, 400, 512, 512))
    whole = jpeg(kind, picture)
    assert np.array_equal(decode(whole), decode(whole[:-2]))


def fuzz(good: dict[str, bytes], seed: int, rounds: int, folder: Path, outcome: Any) -> None:
    """Decode damaged copies under the stage's memory limit; sends how each of them ended."""
    assert STAGE.memory_mb is not None
    limit_memory(STAGE.memory_mb)
    chance = random.Random(seed)
    ends: Counter[str] = Counter()
    path = folder / "damaged"
    for name, data in good.items():
        for round_ in range(rounds):
            damaged = bytearray(data)
            if round_ % 4 == 0:
                del damaged[chance.randrange(len(data)) :]
            for _ in range(chance.choice((1, 2, 8)) if damaged else 0):
                reach = len(damaged) if round_ % 2 else min(len(damaged), 600)
                damaged[chance.randrange(reach)] = chance.choice((0, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            path.write_bytes(damaged)
            try:
                image = decode_portrait(path)
                ends["pixels" if image.dtype == np.uint8 and image.shape[2:] == (3,) else f"{name}: no picture"] += 1
            except Rejected as rejected:
                ends[rejected.code] += 1
            except Exception as e:  # noqa: BLE001 - what a test must report
                ends[f"{name}: {e!r}"] += 1
    outcome.send(dict(ends))


def test_damaged_bytes_of_every_format_end_as_pixels_or_rejected(tmp_path: Path) -> None:
    small = portrait().resize((96, 96))
    good = {name: encoded(small, name) for name in ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP")}
    good |= {"progressive": encoded(small, "JPEG", progressive=True)}
    good |= {path.name: path.read_bytes() for path in sorted(DATA.glob("*.heic"))}
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    child = spawn.Process(target=fuzz, args=(good, 11, 60, tmp_path, sender))
    child.start()
    sender.close()
    child.join(200)
    assert child.exitcode == 0
    ends = receiver.recv()
    assert sum(ends.values()) == 60 * len(good)
    assert set(ends) <= {"pixels", Code.IMAGE_UNREADABLE, Code.IMAGE_TOO_LARGE, Code.IMAGE_TOO_SMALL}
    assert min(ends["pixels"], ends[Code.IMAGE_UNREADABLE]) > 50


def test_heic_with_an_item_type_that_is_no_text_is_refused(decode: Decode) -> None:
    """It ends the process in pi-heif."""
    data = (DATA / "rotated.heic").read_bytes()
    kind = data.index(b"Exif")
    assert refused(decode, data[:kind] + b"E\x8cif" + data[kind + 4 :]).code == Code.IMAGE_UNREADABLE


@pytest.mark.parametrize("name", ["AVIF", "GIF", "portrait.heic"])
@pytest.mark.parametrize("kept", [0.9, 0.5, 0.1])
def test_truncated_file_is_refused(decode: Decode, name: str, kept: float) -> None:
    data = (DATA / name).read_bytes() if name.endswith("heic") else encoded(portrait(), name)
    assert refused(decode, data[: int(len(data) * kept)]).code == Code.IMAGE_UNREADABLE


def bmp_with_alpha(header_size: int, alpha: int) -> bytes:
    """A BMP of 32 bits a pixel with masks, version 4 or 5 by its header's size; `alpha` is that of every pixel."""
    image = portrait().resize((64, 64)).convert("RGBA")
    image.putalpha(alpha)
    body = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes("raw", "BGRA")
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", header_size, 64, 64, 1, 32, 3, len(body), 2835, 2835, 0, 0) + masks
    header += b"BGRs" + bytes(header_size - len(header) - 4)
    return struct.pack("<2sIHHI", b"BM", 14 + header_size + len(body), 0, 0, 14 + header_size) + header + body


@pytest.mark.parametrize("header_size", [108, 124], ids=["V4", "V5"])
def test_bmp_with_an_empty_alpha_channel_is_opaque(decode: Decode, header_size: int) -> None:
    data = bmp_with_alpha(header_size, 0)
    assert Image.open(BytesIO(data)).mode == "RGBA"
    assert difference(decode(data), np.asarray(portrait().resize((64, 64)))) == 0


@pytest.mark.parametrize(("file_format", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("WEBP", "RGBA"), ("AVIF", "RGBA")])
def test_picture_that_is_transparent_everywhere_is_opaque(decode: Decode, file_format: str, mode: str) -> None:
    image = cut_out().convert(mode)
    image.putalpha(0)
    options = {"lossless": True, "exact": True} if file_format == "WEBP" else {}
    assert difference(decode(encoded(image, file_format, **options)), np.asarray(image.convert("RGB"))) < 4


def test_grey_profile_of_a_grey_picture_with_alpha_is_applied(decode: Decode) -> None:
    """A profile of linear grey makes the picture lighter; the neutral grey behind it keeps its value."""
    image = portrait().convert("LA")
    image.putalpha(Image.linear_gradient("L").resize((512, 512)).point(lambda v: 255 if v > 127 else 0))
    flat = decode(encoded(image, "PNG", icc_profile=linear_grey()))
    assert flat[0, 0].tolist() == [192, 192, 192]
    assert flat[300:].mean() > np.asarray(portrait().convert("L"))[300:].mean() + 20


def linear_grey() -> bytes:
    """An ICC profile, version 2, of grey with a linear tone curve and the white of D50."""
    white = b"XYZ \0\0\0\0" + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    curve = b"curv\0\0\0\0" + struct.pack(">I", 0) + bytes(4)
    name = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"g\0" + bytes(78 + 4)
    tags = {b"wtpt": white, b"kTRC": curve, b"desc": name}
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", offset + len(body), len(data))
        body += data
    header = struct.pack(">I4sI4s4s4s", offset + len(body), b"lcms", 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    header += (
        struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    )
    return header + bytes(128 - len(header)) + table + body
