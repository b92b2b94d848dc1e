"""Portraits and speeches that no stage finds in its cache: small, so that a render takes about a second."""

import functools
import io
import os

import av
from PIL import Image

from tests.conftest import ROOT
from tests.pipeline.conftest import spoken

SECONDS = 1.0
WIDTH = 384


@functools.cache
def _small() -> Image.Image:
    with av.open(str(ROOT / "samples" / "portrait.png")) as file:
        picture = next(file.decode(video=0)).to_image()
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)))


def portrait() -> bytes:
    """The sample portrait, smaller and with one random pixel."""
    picture = _small().copy()
    picture.putpixel((0, 0), tuple(os.urandom(3)))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def speech(seconds: float = SECONDS) -> bytes:
    """A part of the sample speech that begins at a random moment."""
    start = 0.5 + int.from_bytes(os.urandom(2)) / 32_000
    return spoken(seconds, start)
