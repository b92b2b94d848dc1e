"""The value of a record as JSON text, without the byte order mark that some serialisers write."""

from codecs import BOM_UTF8


def json_text(value: bytes) -> bytes:
    """The value without a UTF-8 byte order mark. RFC 8259 lets a reader ignore one; pydantic and ``json`` refuse it."""
    return value.removeprefix(BOM_UTF8)
