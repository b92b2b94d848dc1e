"""Decodes the user's picture: format and size are checked before decoding, 8-bit RGB is the result."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pi_heif
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image

from shared.messages.codes import Code, Rejected
from stages.face.bmp_runs import require_short_runs
from stages.face.colour import to_srgb
from stages.face.formats import (
    ALLOWED,
    AVIF,
    BMP,
    GIF,
    HEAD_BYTES,
    HEIC,
    JPEG,
    PNG,
    WEBP,
    Format,
    recognise,
    with_openers_brand,
)
from stages.face.gif_blocks import require_few_blocks
from stages.face.heif_items import require_readable_items
from stages.face.jpeg_end import JpegTruncated, require_rows, with_end
from stages.face.jpeg_segments import JpegOverlong, reduce_header
from stages.face.jpeg_structure import MAX_SCANS, read_structure, require_few_passes
from stages.face.png_chunks import PngDamaged, reduce_png
from stages.face.webp_canvas import read_canvas_size

MAX_MEGAPIXELS = 65
"""Cameras of 64 megapixels write up to 64.4. Checked in the header, so a decompression bomb is never decoded."""
MAX_PIXELS = MAX_MEGAPIXELS * 1_000_000
MIN_SIDE = 32
"""A picture narrower than the narrowest face that can be animated."""

# Exceptions of Pillow's parsers, libavif and libheif on damaged files, besides UnidentifiedImageError (an OSError).
_DAMAGED = (
    *(OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError, OverflowError),
    *(RuntimeError, AttributeError, AssertionError, ZeroDivisionError, struct.error, zlib.error),
)

# One thread each: replicas and slots use the other cores, and the stack of a thread counts in the memory limit.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pi_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


def decode_portrait(path: Path) -> NDArray[np.uint8]:
    """Decode the picture at ``path`` to [H, W, 3] uint8 sRGB, upright (``to_srgb``).

    Takes the first picture of an animation or of a file of several. Metadata that is damaged or too large is skipped.
    Raises Rejected: IMAGE_UNREADABLE (another format, truncated, damaged, a JPEG of more than 200 scans),
    IMAGE_TOO_LARGE (more than 65 megapixels in its header), IMAGE_TOO_SMALL (a side below 32 pixels).
    """
    data = path.read_bytes()
    found = recognise(data[:HEAD_BYTES])
    if found is None or not found.openers:
        raise _other_format(found, empty=not data)
    try:
        # Pillow's own check warns from a size that is accepted here, and refuses from twice of it.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return to_srgb(_decode(data, found))
    except Image.DecompressionBombError as e:
        raise _too_large(f"has more than {MAX_MEGAPIXELS} megapixels") from e
    except MemoryError as e:
        raise _too_large("needs more memory than a worker has") from e
    except PngDamaged as e:
        raise _unreadable(f"The portrait is a damaged PNG picture: {e}. {found.advice}") from e
    except JpegOverlong as e:
        raise _unreadable(f"The portrait is a JPEG picture that can't be used: {e}. {found.advice}") from e
    except JpegTruncated as e:
        raise _unreadable(f"The portrait is a truncated JPEG picture: {e}. {found.advice}") from e
    except _DAMAGED as e:
        if "memory" in str(e).lower():  # as libheif and libavif report it
            raise _too_large("needs more memory than a worker has") from e
        raise _unreadable(f"The portrait is {found.name} that is truncated or damaged. {found.advice}") from e


def _decode(data: bytes, found: Format) -> Image.Image:
    if found is JPEG:
        return _decode_jpeg(data)
    profile = None
    if found is PNG:
        data, profile = reduce_png(data)
    elif found is WEBP:
        _check_size(*read_canvas_size(data))
    elif found is HEIC:
        require_readable_items(data)
    elif found is GIF:
        require_few_blocks(data)
    elif found is BMP:
        require_short_runs(data)
    if found in (AVIF, HEIC):
        data = with_openers_brand(data, found)
    image = _loaded(data, found)
    if profile:
        image.info["icc_profile"] = profile
    return image


def _decode_jpeg(data: bytes) -> Image.Image:
    data = reduce_header(data)
    structure = read_structure(data)
    if structure.scans > MAX_SCANS:
        raise _unreadable(f"The portrait is a JPEG of more than {MAX_SCANS} scans. {JPEG.advice}")
    with _opened(data, JPEG) as image:  # the size is checked before with_end decodes
        require_few_passes(structure.scans, image.width * image.height)
    data = with_end(data, structure)
    image = _loaded(data, JPEG)
    require_rows(image, data, structure)
    return image


def _loaded(data: bytes, found: Format) -> Image.Image:
    """The decoded picture as a copy: the decoders of WebP and AVIF keep buffers of twice its size."""
    with _opened(data, found) as image:
        image.load()
        _check_size(*image.size)  # HEIC: the coded picture may have another size than the container declares
        return image.copy()


def _opened(data: bytes, found: Format) -> Image.Image:
    """Open a picture and check its size; nothing is decoded yet."""
    image = Image.open(io.BytesIO(data), formats=found.openers)
    _check_size(*image.size)
    return image


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(f"has {width * height / 1_000_000:.1f} megapixels ({width} x {height})")
    if min(width, height) < MIN_SIDE:
        message = f"The portrait is {width} x {height} pixels: too small to hold a face."
        raise Rejected(Code.IMAGE_TOO_SMALL, message, field="portrait", allowed=f"at least {MIN_SIDE} pixels a side")


def _too_large(what: str) -> Rejected:
    message = f"The portrait {what}. Scale it down."
    return Rejected(Code.IMAGE_TOO_LARGE, message, field="portrait", allowed=f"at most {MAX_MEGAPIXELS} megapixels")


def _other_format(found: Format | None, *, empty: bool) -> Rejected:
    if empty:
        return _unreadable("The portrait is an empty file. Upload it again.")
    if found is None:
        return _unreadable("The portrait is in no format that is known here, or damaged. Save it as JPEG or PNG.")
    return _unreadable(f"The portrait is {found.name}, which can't be used. {found.advice}")


def _unreadable(message: str) -> Rejected:
    return Rejected(Code.IMAGE_UNREADABLE, message, field="portrait", allowed=ALLOWED)
