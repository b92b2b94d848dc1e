"""Formats of pictures: those that are accepted beside JPEG, PNG, WebP and BMP, and those that are refused by name."""

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from shared.messages.codes import Code
from stages.face.colour import BACKGROUND, exif_orientation
from tests.face.pictures import cut_out, encoded, exif, pixels, portrait
from tests.face.test_face_decode import Decode, decode, difference, refused

__all__ = ["decode"]

DATA = Path(__file__).parent / "data"


def heic(name: str) -> bytes:
    return (DATA / f"{name}.heic").read_bytes()


@pytest.mark.parametrize("name", ["portrait", "rotated", "ten-bit", "two-pictures"])
def test_heic_is_decoded_upright(decode: Decode, name: str) -> None:
    """`rotated` is stored on its side with the container's `irot`; of two pictures the primary one is used."""
    assert difference(decode(heic(name)), np.asarray(cut_out())) < 4


@pytest.mark.parametrize("major", [b"miaf", b"mif2", b"avio", b"isom"])
@pytest.mark.parametrize("file_format", ["HEIC", "AVIF"])
def test_picture_is_known_by_its_compatible_brands(decode: Decode, file_format: str, major: bytes) -> None:
    """The major brand may be a general one, which videos have too."""
    data = heic("portrait") if file_format == "HEIC" else encoded(cut_out(), "AVIF", quality=80)
    assert difference(decode(data[:8] + major + data[12:]), np.asarray(cut_out())) < 4


def test_transparent_heic_is_put_on_neutral_grey(decode: Decode) -> None:
    image = decode(heic("transparent"))
    assert np.abs(image[0, 0].astype(int) - BACKGROUND).max() < 4
    assert difference(image[100:], np.asarray(cut_out())[100:]) < 4


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_avif_is_decoded(decode: Decode, subsampling: str) -> None:
    assert (
        difference(decode(encoded(cut_out(), "AVIF", quality=80, subsampling=subsampling)), np.asarray(cut_out())) < 4
    )


@pytest.mark.parametrize(
    ("orientation", "stored"), [(6, Image.Transpose.ROTATE_90), (2, Image.Transpose.FLIP_LEFT_RIGHT)]
)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_orientation_is_applied_once(
    decode: Decode, file_format: str, orientation: int, stored: Image.Transpose
) -> None:
    """EXIF's, and for AVIF the container's `irot` and `imir`, which Pillow writes instead of EXIF's."""
    data = encoded(cut_out().transpose(stored), file_format, quality=90, exif=exif(orientation))
    assert difference(decode(data), np.asarray(cut_out())) < 5


def test_exif_of_an_avif_does_not_turn_it(decode: Decode) -> None:
    """The container's orientation alone counts there: a converter that keeps EXIF has already turned the picture."""
    unit = Image.Exif()
    unit[0x0128] = 6  # Pillow moves an orientation to the container, so another tag becomes one in the file
    data = encoded(cut_out(), "AVIF", quality=80, exif=unit.tobytes())
    for order, name in (("<", b"\x28\x01\x03\0"), (">", b"\x01\x28\0\x03")):
        data = data.replace(name, struct.pack(order + "HH", 0x0112, 3))
    tiff = data[max(data.find(b"II*\0"), data.find(b"MM\0*")) :]
    assert exif_orientation(b"Exif\0\0" + tiff) == 6
    assert difference(decode(data), np.asarray(cut_out())) < 4


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_orientation_in_xmp_alone_is_ignored(decode: Decode, file_format: str) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    options = {"pnginfo": _text("XML:com.adobe.xmp", xmp.decode())} if file_format == "PNG" else {"xmp": xmp}
    assert difference(decode(encoded(cut_out(), file_format, quality=95, **options)), np.asarray(cut_out())) < 4


def _text(key: str, text: str) -> PngInfo:
    info = PngInfo()
    info.add_itxt(key, text)
    return info


def test_first_frame_of_a_gif_or_an_avif_sequence_is_decoded(decode: Decode) -> None:
    black = Image.new("RGB", (512, 512))
    gif = encoded(portrait(), "GIF", save_all=True, append_images=[black, black])
    assert difference(decode(gif), pixels()) < 9
    avif = encoded(cut_out(), "AVIF", save_all=True, append_images=[Image.new("RGB", cut_out().size)], quality=80)
    assert difference(decode(avif), np.asarray(cut_out())) < 4


def test_first_picture_of_a_multi_picture_jpeg_is_decoded(decode: Decode) -> None:
    """As phones write them: the picture, then a depth map or a gain map."""
    data = encoded(portrait(), "MPO", save_all=True, append_images=[Image.new("RGB", (64, 64))], quality=92)
    assert Image.open(BytesIO(data)).format == "MPO"
    assert difference(decode(data), pixels()) < 3


def test_declared_size_is_checked_before_a_heic_is_decoded(decode: Decode) -> None:
    data = heic("portrait")
    at = data.index(b"ispe") + 8
    bomb = data[:at] + struct.pack(">II", 20_000, 20_000) + data[at + 8 :]
    assert refused(decode, bomb).code == Code.IMAGE_TOO_LARGE


def test_webp_canvas_is_checked_before_it_is_allocated(decode: Decode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's opener allocates it."""
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16_382).to_bytes(3, "little") * 2
    data = b"RIFF" + struct.pack("<I", 4 + len(canvas)) + b"WEBP" + canvas
    monkeypatch.setattr(Image, "open", pytest.fail)
    assert refused(decode, data).code == Code.IMAGE_TOO_LARGE


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf<svg/>", "SVG"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\n\n%PDF-1.4\n", "PDF"),
        (b"II*\0" + bytes(100), "TIFF"),
        (b"MM\0*" + bytes(100), "RAW"),
        (b"FUJIFILMCCD-RAW 0201", "RAW"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "RAW"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a" + bytes(20), "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", "video"),
        (b"\0\0\0\x14ftypqt  \0\0\2\0qt  ", "video"),
        (b"\x1a\x45\xdf\xa3" + bytes(40), "WebM"),
        (b"RIFF\0\0\0\0AVI LIST", "video"),
        (b"RIFF\0\0\0\0WAVEfmt ", "sound"),
        (b"ID3\4" + bytes(20), "sound"),
        (b"\0\0\0\x18ftypM4A \0\0\2\0M4A ", "sound"),
        (b"8BPS\0\1", "Photoshop"),
        (b"PK\3\4" + bytes(30), "archive"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"<Error><Code>AccessDenied</Code></Error>", "XML"),
        (b"portrait", "text"),
        (b"", "empty"),
    ],
)
def test_other_format_is_refused_by_name(decode: Decode, data: bytes, name: str) -> None:
    rejected = refused(decode, data)
    assert (rejected.code, rejected.allowed) == (
        Code.IMAGE_UNREADABLE,
        "JPEG, PNG, WebP, AVIF, HEIC, GIF or BMP",
    )
    assert name in rejected.message


@pytest.mark.parametrize("file_format", ["TIFF", "PPM", "ICO", "JPEG2000"])
def test_other_format_that_pillow_reads_is_refused(decode: Decode, file_format: str) -> None:
    rejected = refused(decode, encoded(portrait().resize((64, 64)), file_format))
    assert rejected.code == Code.IMAGE_UNREADABLE
    assert "Save it as JPEG or PNG" in rejected.message
