"""Converts a decoded picture to upright 8-bit sRGB: orientation, depth, transparency, colour profile."""

import io
import struct

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageChops, ImageCms

BACKGROUND = (192, 192, 192)
"""Neutral light grey behind transparent pixels."""

# How to turn the stored rows for each EXIF orientation, then whether to mirror them.
_ORIENTATIONS = {
    1: (None, False),
    2: (None, True),
    3: (cv2.ROTATE_180, False),
    4: (cv2.ROTATE_180, True),
    5: (cv2.ROTATE_90_CLOCKWISE, True),
    6: (cv2.ROTATE_90_CLOCKWISE, False),
    7: (cv2.ROTATE_90_COUNTERCLOCKWISE, True),
    8: (cv2.ROTATE_90_COUNTERCLOCKWISE, False),
}


def to_srgb(image: Image.Image) -> NDArray[np.uint8]:
    """Convert ``image`` to [H, W, 3] uint8 sRGB, upright.

    ``image`` may be changed. The orientation is EXIF's alone: XMP's is ignored, as browsers do; the containers of AVIF
    and HEIC have their own, which the decoder applies or reports as EXIF's. Transparent pixels are put on neutral grey,
    but a picture that is transparent everywhere counts as opaque: some programs leave the alpha channel empty. A
    damaged colour profile is ignored.
    """
    rotation, mirrored = _ORIENTATIONS[exif_orientation(image.info.get("exif"))]
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):
        image = _to_eight_bit(image)
    alpha = _alpha(image)
    image = _without_alpha(image)
    colours = _apply_profile(image, profile)
    del image
    if alpha is not None:
        colours.paste(BACKGROUND, (0, 0), ImageChops.invert(alpha))
    pixels = np.asarray(colours, np.uint8)
    del colours
    if rotation is not None:
        pixels = np.asarray(cv2.rotate(pixels, rotation), np.uint8)
    return np.asarray(cv2.flip(pixels, 1) if mirrored else pixels, np.uint8)


def exif_orientation(exif: bytes | None) -> int:
    """The orientation of EXIF data, 1 to 8; 1 when there is none or it is damaged."""
    if not exif:
        return 1
    tags = Image.Exif()
    try:
        tags.load(exif)
        value = tags.get(ExifTags.Base.Orientation, 1)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, OverflowError, struct.error):
        return 1  # a picture with damaged EXIF data is still usable
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _to_eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey to 8-bit grey: Pillow's own conversion clips instead of scaling, and drops transparency."""
    values = np.asarray(image).clip(0, 65535).astype(np.uint16)
    high = (values // 257).astype(np.uint8)
    grey = Image.fromarray(high + (values - high.astype(np.uint16) * 257 > 128))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, np.uint8(0), np.uint8(255))))
    return grey


def _alpha(image: Image.Image) -> Image.Image | None:
    """The alpha channel; None for an opaque picture, and for one that would be invisible."""
    if not image.has_transparency_data:
        return None
    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else image.convert("RGBA").getchannel("A")
    return None if alpha.getextrema() in ((255, 255), (0, 0)) else alpha


def _without_alpha(image: Image.Image) -> Image.Image:
    """The colours as L, RGB or CMYK: the colour spaces of ICC profiles."""
    if image.mode in ("L", "CMYK"):
        return image
    if image.mode in ("LA", "La", "1"):
        return image.convert("L")
    if image.mode == "RGBa":
        image = image.convert("RGBA")
    image.info.pop("transparency", None)
    return image if image.mode == "RGB" else image.convert("RGB")


def _apply_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB, in place where that is possible."""
    if profile:
        try:
            source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            in_place = image.mode == "RGB"
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB", inPlace=in_place)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # the profile is damaged, or of another colour space than the picture's
        else:
            return image if converted is None else converted
    return image if image.mode == "RGB" else image.convert("RGB")
