"""Pictures with huge numbers of tiny parts: the work for them is bounded."""

import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from shared.messages.codes import Code
from stages.face.bmp_runs import MAX_BYTES
from stages.face.heif_items import MAX_ENTRIES, MAX_ENTRY_BYTES, require_readable_items
from stages.face.jpeg_segments import MAX_SEGMENTS, segments
from stages.face.jpeg_structure import MAX_PASSES_PIXELS
from stages.face.png_chunks import MAX_CHUNKS
from tests.costly_files import bmp_of_runs
from tests.face.pictures import cut_out, encoded, exif, many_scans
from tests.face.test_face_decode import Decode, decode, difference, refused

__all__ = ["decode"]

HEIC = (Path(__file__).parent / "data" / "portrait.heic").read_bytes()


JPEG = encoded(
    cut_out(),
    "JPEG",
    quality=90,
    exif=exif(6),
    icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
)
GIF, PNG = encoded(cut_out().quantize(16), "GIF"), encoded(cut_out(), "PNG")
EMPTY_SEGMENT = b"\xff\xe5\0\2"


@pytest.fixture
def seen_by_pillow(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the files that Pillow opens."""
    sizes: list[int] = []
    plain = Image.open

    def watched(file: BytesIO, *args: Any, **options: Any) -> Image.Image:
        sizes.append(len(file.getvalue()))
        return plain(file, *args, **options)

    monkeypatch.setattr(Image, "open", watched)
    return sizes


@pytest.mark.parametrize("has_end", [True, False])
@pytest.mark.parametrize(
    "flood", [b"\xff" * 3_000_000, EMPTY_SEGMENT * 9000, b"\xff\xfe\xff\xff" + bytes(65533)], ids=["fill", "app", "com"]
)
def test_header_of_a_jpeg_is_reduced(decode: Decode, seen_by_pillow: list[int], flood: bytes, has_end: bool) -> None:
    data = JPEG if has_end else JPEG[:-2]
    assert np.array_equal(decode(data[:2] + flood + data[2:]), decode(data))
    assert max(seen_by_pillow) < len(JPEG) + 2000


@pytest.mark.parametrize("segment", [EMPTY_SEGMENT, b"\xff\xdb\0\2", b"\xff\xe2\0\x0eICC_PROFILE\0"])
def test_segments_of_a_jpeg_are_limited(decode: Decode, seen_by_pillow: list[int], segment: bytes) -> None:
    rejected = refused(decode, JPEG[:2] + segment * MAX_SEGMENTS + JPEG[2:])
    assert rejected.code == Code.IMAGE_UNREADABLE
    assert "segments" in rejected.message
    assert seen_by_pillow == []


def gif(before_frame: bytes) -> bytes:
    """A GIF with these blocks before its first frame."""
    frame = 13 + (3 << (GIF[10] & 7) + 1)
    return GIF[:frame] + before_frame + GIF[frame:]


@pytest.mark.parametrize("flood", [b"\x21\xfe" + b"\1x" * 4096 + b"\0", b"\x21\xfe\0" * 4097, b"\0" * 4097])
def test_blocks_of_a_gif_are_limited(decode: Decode, seen_by_pillow: list[int], flood: bytes) -> None:
    rejected = refused(decode, gif(flood))
    assert (rejected.code, seen_by_pillow) == (Code.IMAGE_UNREADABLE, [])


def test_comments_and_stray_bytes_of_a_gif_are_skipped(decode: Decode) -> None:
    assert np.array_equal(decode(gif(b"\x21\xfe" + b"\1x" * 4000 + b"\0" + b"\0" * 50)), decode(gif(b"")))


def test_chunks_of_a_png_are_limited(decode: Decode, seen_by_pillow: list[int]) -> None:
    empty = b"\0\0\0\0IDAT" + zlib.crc32(b"IDAT").to_bytes(4, "big")
    rejected = refused(decode, PNG[:33] + empty * MAX_CHUNKS + PNG[33:])
    assert (rejected.code, "chunks" in rejected.message, seen_by_pillow) == (Code.IMAGE_UNREADABLE, True, [])


@pytest.mark.parametrize(
    "filler", [b"\xff\x00", b"\xff\xd0", b"\xff\x01", b"\xff"], ids=["data", "restart", "tem", "fill"]
)
def test_data_of_a_scan_are_no_segments(filler: bytes) -> None:
    flooded = JPEG[:-2] + filler * (MAX_SEGMENTS + 1) + b"\xff\xd9"
    assert [found.marker for found in segments(flooded)] == [found.marker for found in segments(JPEG)]
    assert segments_are_linear(b"\xff" * 1_000_000 + b"\0")


def segments_are_linear(data: bytes) -> bool:
    """Ends within the time of a test; a run of fill bytes that is tried from each of them takes an hour."""
    return list(segments(data)) == []


class Watched(bytes):
    """Bytes that count those that are copied out of them."""

    copied = 0

    def __getitem__(self, key):  # type: ignore[no-untyped-def,override]
        part = super().__getitem__(key)
        Watched.copied += len(part) if isinstance(part, bytes) else 1
        return part


def entry(version: int, size: int) -> bytes:
    return size.to_bytes(4, "big") + b"infe" + bytes([version]) + bytes(20)


def test_item_entries_of_a_heic_are_limited(decode: Decode) -> None:
    assert refused(decode, HEIC + entry(2, 29) * (MAX_ENTRIES + 1)).code == Code.IMAGE_UNREADABLE
    assert refused(decode, HEIC + entry(2, MAX_ENTRY_BYTES + 100)).code == Code.IMAGE_UNREADABLE
    assert difference(decode(HEIC + entry(2, 29) * 300), np.asarray(cut_out())) < 4


@pytest.mark.parametrize("flood", [b"infe" * 4000, entry(9, 2**31) * 4000], ids=["letters", "other-version"])
def test_letters_of_an_item_entry_are_not_copied(flood: bytes) -> None:
    Watched.copied = 0
    require_readable_items(Watched(HEIC + flood))
    assert Watched.copied < 4000 * 16


def test_passes_over_the_pixels_of_a_jpeg_are_limited_together(decode: Decode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("the picture is decoded"))
    rejected = refused(decode, many_scans(8000, 8000, 20))
    assert (rejected.code, rejected.field) == (Code.IMAGE_UNREADABLE, "portrait")
    assert "21 scans, and 64 megapixels may have 20" in rejected.message
    assert 200 * 2560 * 2560 > MAX_PASSES_PIXELS > 200 * 2500 * 2500


def test_runs_of_a_bmp_are_limited(decode: Decode, seen_by_pillow: list[int]) -> None:
    rejected = refused(decode, bmp_of_runs(MAX_BYTES + 100_000))
    assert (rejected.code, seen_by_pillow) == (Code.IMAGE_UNREADABLE, [])
    assert decode(bmp_of_runs(32_100)).shape == (39, 401, 3)


def test_heic_that_is_made_of_other_pictures_is_refused(decode: Decode) -> None:
    overlay = b"\0\0\0\x15infe\2\0\0\0\0\1\0\0iovl\0"
    assert refused(decode, HEIC + overlay).code == Code.IMAGE_UNREADABLE
