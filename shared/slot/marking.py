"""How a finished video says that it is synthetic: the parent process decides it, the worker process carries it out."""

import string
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Language = Literal["en", "zh"]
Position = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
Algorithm = Literal["es256", "es384", "es512", "ps256", "ed25519"]
"""Names of COSE's signature algorithms as C2PA's library has them."""

LABEL_TEXTS: dict[Language, str] = {"en": "AI-generated", "zh": "AI生成"}
LABEL_CHARACTERS = string.digits + string.ascii_letters + string.punctuation + " " + (
    "人工智能生成合内容视频图像音声由制作仅供参考虚拟数字主播演示广告本非真实拍摄请注意辨别经授权使用此为的与和是"
)  # fmt: skip
"""What a label can be written with: the glyphs that the encode stage ships (``python -m tools.label_glyphs``)."""
MAX_LABEL_COLUMNS = 24
"""Width of a label's text; a Chinese character takes two columns."""
MAX_SIGNED_BYTES = 32 << 10
"""What is signed is a claim of about 1 KiB and the certificate chain."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Label(_Model):
    """A visible label, burnt into the frames at the start of a video."""

    text: str
    position: Position
    height: Annotated[float, Field(ge=0.05, le=0.2)]
    """Height of its capital letters, as a share of the picture's shorter side."""
    seconds: Annotated[float, Field(ge=2)]
    """How long it is shown from the first frame on."""


class Signing(_Model):
    """What a worker needs for a C2PA manifest beside the signature, which it requests from the parent process."""

    algorithm: Algorithm
    certificates: str
    """The chain as PEM, the signer's own certificate first."""
    manifest: str
    """The manifest's label, ``urn:c2pa:<UUID>``."""


class Marking(_Model):
    """The marks of one video; without any of them it has a title, a comment and a description only."""

    label: Label | None = None
    producer: str | None = None
    """ContentProducer of the ``AIGC`` field in the file's metadata; None: no such field."""
    signing: Signing | None = None
    """None: no C2PA manifest."""


def columns(text: str) -> int:
    """Width of a text in columns: a character of ASCII takes one, any other two."""
    return sum(1 if character.isascii() else 2 for character in text)
