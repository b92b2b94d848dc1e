"""Formats, conversions and rejections of the picture decoder."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from shared.messages.codes import Code, Rejected
from stages.face.colour import BACKGROUND
from stages.face.decode import decode_portrait
from stages.face.jpeg_structure import read_structure
from tests.face.pictures import encoded, exif, many_scans, pixels, png_bomb, portrait


@pytest.fixture
def decode(tmp_path: Path) -> Callable[[bytes], NDArray[np.uint8]]:
    def decoded(data: bytes) -> NDArray[np.uint8]:
        path = tmp_path / "portrait"
        path.write_bytes(data)
        return decode_portrait(path)

    return decoded


Decode = Callable[[bytes], NDArray[np.uint8]]


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def grey() -> NDArray[np.uint8]:
    return np.asarray(portrait().convert("L").convert("RGB"))


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        (lambda: encoded(portrait(), "JPEG", quality=92), 3),
        (lambda: encoded(portrait(), "JPEG", quality=92, progressive=True), 3),
        (lambda: encoded(portrait().convert("CMYK"), "JPEG", quality=95), 4),
        (lambda: encoded(portrait(), "PNG"), 0),
        (lambda: encoded(portrait(), "BMP"), 0),
        (lambda: encoded(portrait(), "WEBP", quality=90), 4),
        (lambda: encoded(portrait(), "WEBP", lossless=True), 0),
        (lambda: encoded(portrait().quantize(256), "PNG"), 8),
        (lambda: encoded(portrait().quantize(256), "BMP"), 8),
    ],
    ids=["jpeg", "progressive", "cmyk", "png", "bmp", "webp", "lossless-webp", "palette-png", "palette-bmp"],
)
def test_colour_formats_are_decoded(decode: Decode, data: Callable[[], bytes], tolerance: float) -> None:
    image = decode(data())
    assert (image.shape, image.dtype, image.flags.c_contiguous) == ((512, 512, 3), np.uint8, True)
    assert difference(image, pixels()) <= tolerance


def test_grey_formats_are_decoded(decode: Decode) -> None:
    assert difference(decode(encoded(portrait().convert("L"), "PNG")), grey()) == 0
    assert difference(decode(encoded(portrait().convert("L"), "JPEG", quality=95)), grey()) < 2
    deep = Image.fromarray(np.asarray(portrait().convert("L")).astype(np.uint16) * 257)
    assert difference(decode(encoded(deep, "PNG")), grey()) == 0
    assert set(np.unique(decode(encoded(portrait().convert("1"), "PNG")))) == {0, 255}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(decode: Decode, orientation: int) -> None:
    turn_into = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = portrait().crop((0, 0, 512, 400))
    stored = upright if orientation == 1 else upright.transpose(turn_into[orientation])
    data = encoded(stored, "JPEG", quality=95, exif=exif(orientation))
    assert difference(decode(data), np.asarray(upright)) < 3


def test_transparency_is_put_on_neutral_grey(decode: Decode) -> None:
    image = portrait().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((512, 512)).point(lambda v: 255 if v > 127 else 0))
    for file_format in ("PNG", "WEBP"):
        flat = decode(encoded(image, file_format, lossless=True))
        assert np.array_equal(flat[0, 0], BACKGROUND)
        assert difference(flat[300:], pixels()[300:]) == 0
    two_colours = Image.new("RGB", (64, 64), (1, 2, 3))
    two_colours.paste((9, 8, 7), (0, 32, 64, 64))
    keyed = decode(encoded(two_colours, "PNG", transparency=(1, 2, 3)))
    assert np.array_equal(keyed[5, 5], BACKGROUND)
    assert np.array_equal(keyed[50, 5], (9, 8, 7))
    deep = np.full((64, 64), 40_000, np.uint16)
    deep[:32] = 1000
    keyed = decode(encoded(Image.fromarray(deep), "PNG", transparency=1000))
    assert np.array_equal(keyed[5, 5], BACKGROUND)
    assert np.array_equal(keyed[50, 5], [156] * 3)


def test_half_transparency_is_blended(decode: Decode) -> None:
    mixed = decode(encoded(Image.new("LA", (64, 64), (0, 128)), "PNG"))
    assert abs(int(mixed[0, 0, 0]) - BACKGROUND[0] // 2) <= 1


def test_first_frame_of_an_animation_is_decoded(decode: Decode) -> None:
    black = Image.new("RGB", (512, 512))
    for file_format in ("WEBP", "PNG"):
        data = encoded(portrait(), file_format, save_all=True, append_images=[black, black], lossless=True)
        assert difference(decode(data), pixels()) == 0


def test_colour_profile_is_converted_to_srgb(decode: Decode) -> None:
    lab_like = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert difference(decode(encoded(portrait(), "PNG", icc_profile=lab_like)), pixels()) < 1
    assert difference(decode(encoded(portrait(), "PNG", icc_profile=b"not a profile" * 20)), pixels()) == 0
    wrong_space = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert difference(decode(encoded(portrait(), "PNG", icc_profile=wrong_space)), pixels()) == 0


def refused(decode: Decode, data: bytes) -> Rejected:
    with pytest.raises(Rejected) as caught:
        decode(data)
    assert caught.value.field == "portrait"
    return caught.value


@pytest.mark.parametrize(
    ("file_format", "options"), [("JPEG", {}), ("PNG", {}), ("WEBP", {}), ("WEBP", {"lossless": True}), ("BMP", {})]
)
@pytest.mark.parametrize("kept", [0.9, 0.5, 0.1])
def test_truncated_picture_is_unreadable(
    decode: Decode, file_format: str, options: dict[str, bool], kept: float
) -> None:
    data = encoded(portrait(), file_format, **options)
    assert refused(decode, data[: int(len(data) * kept)]).code == Code.IMAGE_UNREADABLE


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8", b"portrait", b"\x89PNG\r\n\x1a\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>", bytes(5000)],
    ids=["empty", "marker", "text", "signature", "svg", "zeros"],
)
def test_other_content_is_unreadable(decode: Decode, data: bytes) -> None:
    assert refused(decode, data).code == Code.IMAGE_UNREADABLE


@pytest.mark.parametrize(("width", "height"), [(8063, 8063), (12_000, 12_000), (60_000, 60_000)])
def test_pixel_bomb_is_rejected_by_its_header(decode: Decode, width: int, height: int) -> None:
    rejected = refused(decode, png_bomb(width, height))
    assert (rejected.code, rejected.allowed) == (Code.IMAGE_TOO_LARGE, "at most 65 megapixels")
    assert "megapixels" in rejected.message


@pytest.mark.parametrize(("width", "height"), [(8160, 6144), (9280, 6944)], ids=["50-MP-phone", "64-MP-phone"])
def test_sizes_of_phones_are_accepted(decode: Decode, width: int, height: int) -> None:
    # Within the limit, so it is decoded, and then found to be empty.
    assert refused(decode, png_bomb(width, height)).code == Code.IMAGE_UNREADABLE


@pytest.mark.parametrize("multi_picture", [False, True])
def test_jpeg_of_a_thousand_scans_is_rejected_before_decoding(decode: Decode, multi_picture: bool) -> None:
    """46 megapixels to walk over for every 75 bytes."""
    rejected = refused(decode, many_scans(7040, 6592, 1000, multi_picture=multi_picture))
    assert rejected.code == Code.IMAGE_UNREADABLE
    assert "200 scans" in rejected.message


def test_scans_of_previews_do_not_count(decode: Decode) -> None:
    """A preview in a segment and what follows the picture hold marker bytes of their own."""
    preview = encoded(portrait(), "JPEG", progressive=True)[:60_000]
    for options, scans in (({}, 1), ({"progressive": True}, 10)):
        whole = encoded(portrait(), "JPEG", quality=90, comment=preview, **options)
        data = whole + b"\xff\xda\x00\x02" * 5000
        assert read_structure(data).scans == scans
        assert difference(decode(data), pixels()) < 3
    assert read_structure(many_scans(64, 64, 150)).scans == 151
    assert decode(many_scans(64, 64, 150)).shape == (64, 64, 3)


def test_too_small_picture_is_rejected(decode: Decode) -> None:
    assert refused(decode, encoded(portrait().resize((31, 400)), "PNG")).code == Code.IMAGE_TOO_SMALL


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP"])
def test_damaged_bytes_raise_only_rejected(decode: Decode, file_format: str) -> None:
    small = portrait().resize((48, 48)).convert("RGB")
    good = encoded(small, file_format, **({"exif": exif(6)} if file_format != "BMP" else {}))
    random = np.random.default_rng(0)
    for _ in range(400):
        damaged = bytearray(good)
        for position in random.integers(0, min(len(good), 400), size=4):
            damaged[position] = random.integers(0, 256)
        try:
            image = decode(bytes(damaged))
        except Rejected as rejected:
            assert rejected.code in {Code.IMAGE_UNREADABLE, Code.IMAGE_TOO_LARGE, Code.IMAGE_TOO_SMALL}
        else:
            assert image.dtype == np.uint8 and image.shape[2] == 3


def test_decoding_is_deterministic(decode: Decode) -> None:
    data = encoded(portrait(), "JPEG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert np.array_equal(decode(data), decode(data))
    assert Image.open(BytesIO(data)).format == "JPEG"
