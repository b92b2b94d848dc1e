"""References to objects in storage: {bucket alias, key, sha256, size}, never URLs."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.messages.numbers import Natural, Positive
from shared.messages.text import KEY_PATTERN

ALIAS = r"^[a-z0-9][a-z0-9-]{0,62}$"
SHA256 = r"^[0-9a-f]{64}$"
DOT_SEGMENT = r"(^|/)\.{1,2}(/|$)"
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")
"""A task names dozens of keys, and every stage checks them several times."""
MAX_KEY_BYTES = 1024
"""The limit of S3, in UTF-8 bytes."""


def checked_key(key: str) -> str:
    """The key, if it names exactly one object on any object store.

    Raises ValueError for what some object stores or clients resolve differently: ``..`` and ``.`` segments, a leading
    or double slash, a URL, a backslash, ASCII control characters, more than 1024 bytes. Only ``parse_request`` refuses
    the other control characters: tasks with older keys must stay readable.
    """
    if not key or len(key.encode()) > MAX_KEY_BYTES:
        raise ValueError(f"an object key has 1 to {MAX_KEY_BYTES} bytes")
    if "://" in key:
        raise ValueError("an object key is not a URL")
    if _FORBIDDEN.search(key):
        raise ValueError("an object key has no backslash and no control characters")
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError("an object key is relative and has no empty, '.' or '..' segment")
    return key


Key = Annotated[
    str,
    Field(
        description="Object key, relative, at most 1024 bytes.",
        # The part of the rule that JSON Schema can express; `checked_key` is the whole rule.
        json_schema_extra={
            "minLength": 1,
            "maxLength": MAX_KEY_BYTES,
            "pattern": KEY_PATTERN,
            "not": {"pattern": DOT_SEGMENT},
        },
    ),
    AfterValidator(checked_key),
]
Alias = Annotated[str, Field(pattern=ALIAS, description="Alias of a configured bucket, never the name of a bucket.")]


class InputRef(BaseModel):
    """An input object of the user; its key begins with the prefix of the tenant, ``<tenant>/``."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    bucket: Alias = "inputs"
    key: Key
    sha256: str | None = Field(None, pattern=SHA256, description="Hex SHA-256; checked when given.")
    size: Positive | None = Field(None, description="Bytes; checked when given.")


class OutputRef(BaseModel):
    """Destination of the finished files: a configured bucket alias and a key prefix."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    bucket: Alias
    prefix: Key
    preview: bool = Field(
        False,
        description="Publish the video while it is rendered, as an HLS playlist `<prefix>/<job id>/index.m3u8` of"
        " fragmented MP4 segments. The finished file is the same with and without it.",
    )


class ArtifactRef(BaseModel):
    """An object that a stage wrote; every read verifies size and SHA-256."""

    model_config = ConfigDict(extra="allow", frozen=True)

    bucket: Alias = "artifacts"
    key: Key
    sha256: str = Field(pattern=SHA256)
    size: Natural = Field(description="Bytes.")
