"""Portraits and speeches that no stage finds in its cache: small, so that a render takes about a second."""

import functools
import io
import os
import wave

import av
from PIL import Image

from tests.conftest import ROOT

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
    with wave.open(str(ROOT / "samples" / "speech.wav")) as source:
        rate = source.getframerate()
        source.setpos(round(start * rate))
        frames = source.readframes(round(seconds * rate))
    out = io.BytesIO()
    with wave.open(out, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(rate)
        target.writeframes(frames)
    return out.getvalue()
