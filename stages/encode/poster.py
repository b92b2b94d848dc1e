"""Writes the still picture that players show before the video starts."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

_BEST_QUANTISER = "2"
_SOI = b"\xff\xd8"
_COMMENT = b"\xff\xfe"


def write_poster(path: Path, picture: NDArray[np.uint8], comment: str, metadata: bytes = b"") -> None:
    """Write one I420 frame (uint8 [height * 3 / 2, width], BT.601 limited range) as JPEG with a comment segment, and
    ``metadata``, another segment or none.

    JPEG (JFIF) is BT.601 in full range, so only the range is converted.
    """
    limited = av.VideoFrame.from_ndarray(picture, "yuv420p")
    full = limited.reformat(
        format="yuvj420p",
        src_colorspace=Colorspace.ITU601,
        dst_colorspace=Colorspace.ITU601,
        src_color_range=ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    encoder = av.VideoCodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = full.width, full.height, "yuvj420p"
    encoder.color_range = ColorRange.JPEG
    encoder.framerate, encoder.thread_count = Fraction(25), 1
    # libav writes the JFIF segment only when square pixels are declared.
    encoder.sample_aspect_ratio = Fraction(1)
    encoder.options = {"qmin": _BEST_QUANTISER, "qmax": _BEST_QUANTISER}
    packets = [*encoder.encode(full), *encoder.encode(None)]
    jpeg = b"".join(bytes(packet) for packet in packets)
    text = comment.encode()
    segment = _COMMENT + (len(text) + 2).to_bytes(2, "big") + text
    # JFIF requires its own segment right after the start of the image: the comment follows it.
    first = len(_SOI) + 2 + int.from_bytes(jpeg[4:6], "big")
    path.write_bytes(jpeg[:first] + metadata + segment + jpeg[first:])
