"""References to objects in storage: {bucket alias, key, sha256, size}, never URLs."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.messages.text import KEY_PATTERN

ALIAS = r"^[a-z0-9][a-z0-9-]{0,62}$"
SHA256 = r"^[0-9a-f]{64}$"
MAX_KEY_BYTES = 1024
"""S3's own limit on a key, in UTF-8 bytes."""


def checked_key(key: str) -> str:
    """A key that names exactly one object on any store.

    Raises ValueError for what some stores or clients would resolve elsewhere: ``..`` and ``.`` segments, a leading
    or doubled slash, a URL, a backslash, ASCII's control characters, more than 1024 bytes. ``parse_request`` refuses
    the other hidden characters: a key that came in before it did must stay readable in tasks.
    """
    if not key or len(key.encode()) > MAX_KEY_BYTES:
        raise ValueError(f"an object key has 1 to {MAX_KEY_BYTES} bytes")
    if "://" in key:
        raise ValueError("an object key is not a URL")
    if "\\" in key or any(ord(c) < 32 or ord(c) == 127 for c in key):
        raise ValueError("an object key has no backslash and no control characters")
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError("an object key is relative and has no empty, '.' or '..' segment")
    return key


Key = Annotated[
    str,
    Field(
        description="Object key, relative, at most 1024 bytes.",
        # What JSON Schema can say of the rule; `checked_key` is the rule.
        json_schema_extra={"minLength": 1, "maxLength": MAX_KEY_BYTES, "pattern": KEY_PATTERN},
    ),
    AfterValidator(checked_key),
]
Alias = Annotated[str, Field(pattern=ALIAS, description="Alias of a configured bucket, never a bucket's own name.")]


class InputRef(BaseModel):
    """An object the user supplies; the key must begin with the tenant's prefix ``<tenant>/``."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    bucket: Alias = "inputs"
    key: Key
    sha256: str | None = Field(None, pattern=SHA256, description="Hex SHA-256; checked when given.")
    size: int | None = Field(None, ge=1, description="Bytes; checked when given.")


class OutputRef(BaseModel):
    """Where the finished files go: a configured bucket alias and a key prefix."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    bucket: Alias
    prefix: Key


class ArtifactRef(BaseModel):
    """An object that a stage wrote; verified by size and SHA-256 on every read."""

    model_config = ConfigDict(extra="allow", frozen=True)

    bucket: Alias = "artifacts"
    key: Key
    sha256: str = Field(pattern=SHA256)
    size: int = Field(ge=0, description="Bytes.")
