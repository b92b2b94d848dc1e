"""Decodes the user's picture: four formats, limits checked before decoding, 8-bit RGB as the result."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from shared.messages.codes import Code, Rejected
from stages.face.jpeg_scans import MAX_SCANS, count_scans

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MAX_PIXELS = 50_000_000
"""Checked in the header, so a decompression bomb is never decoded."""
MIN_SIDE = 32
"""A picture narrower than the narrowest face that can be animated."""
BACKGROUND = (192, 192, 192)
"""Neutral light grey behind transparent pixels."""

# Exceptions of Pillow's parsers on damaged files, besides their own UnidentifiedImageError (an OSError).
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError, OverflowError)
_DAMAGED_BINARY = (*_DAMAGED, struct.error, zlib.error)


def decode_portrait(path: Path) -> NDArray[np.uint8]:
    """Decode the picture at ``path`` to [H, W, 3] uint8 sRGB, upright (EXIF orientation applied).

    Takes the first frame of an animation, puts transparency on neutral grey, converts CMYK, grey, palette and 16-bit
    pictures and embedded ICC profiles. Raises Rejected: IMAGE_UNREADABLE (another format, truncated, damaged, a JPEG of
    more than 200 scans), IMAGE_TOO_LARGE (more than 50 megapixels in its header), IMAGE_TOO_SMALL (a side below 32
    pixels).
    """
    try:
        # Pillow's own check warns from half of its limit; the limit here is stricter than both.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                _check_size(*image.size)
                if count_scans(path) > MAX_SCANS:
                    raise _unreadable(f"The portrait is a JPEG of more than {MAX_SCANS} scans.")
                image.load()
                return _to_rgb(image)
    except Image.DecompressionBombError as e:
        raise _too_large() from e
    except _DAMAGED_BINARY as e:
        raise _unreadable(
            "The portrait can't be read: it is not a picture of a supported format, or it is truncated or damaged."
        ) from e


def _unreadable(message: str) -> Rejected:
    return Rejected(Code.IMAGE_UNREADABLE, message, field="portrait", allowed="JPEG, PNG, WebP or BMP")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large()
    if min(width, height) < MIN_SIDE:
        message = f"The portrait is {width} x {height} pixels: too small to hold a face."
        raise Rejected(Code.IMAGE_TOO_SMALL, message, field="portrait", allowed=f"at least {MIN_SIDE} pixels a side")


def _too_large() -> Rejected:
    limit = f"{MAX_PIXELS // 1_000_000} megapixels"
    return Rejected(Code.IMAGE_TOO_LARGE, f"The portrait has more than {limit}.", field="portrait", allowed=limit)


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    profile = image.info.get("icc_profile")
    upright = _rotate_upright(image)
    if upright.mode.startswith("I"):
        upright = _to_eight_bit(upright)
    if upright.has_transparency_data:
        upright = _flatten(upright)
    if profile:
        upright = _to_srgb(upright, profile)
    return np.ascontiguousarray(upright.convert("RGB"), dtype=np.uint8)


def _rotate_upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except _DAMAGED_BINARY:
        return image  # a picture with damaged EXIF data is still usable


def _to_eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey to 8-bit grey: Pillow's own conversion clips instead of scaling, and drops transparency."""
    values = np.asarray(image).astype(np.uint32)
    grey = Image.fromarray(((values + 128) // 257).clip(0, 255).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, np.uint8(0), np.uint8(255))))
    return grey


def _flatten(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    flat = Image.new("RGB", rgba.size, BACKGROUND)
    flat.paste(rgba, mask=rgba.getchannel("A"))
    return flat


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    if image.mode not in ("RGB", "CMYK", "L"):
        image = image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, *_DAMAGED_BINARY):
        return image  # the profile is damaged, or of another colour space than the picture's
    return image if converted is None else converted
