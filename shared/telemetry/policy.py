"""What becomes of a value under a name that the registry of attributes knows: spans and logs follow one list.

Names of log fields have an underscore where keys of attributes have a dot: ``aws_s3_key`` is ``aws.s3.key``.
"""

from shared.telemetry.attributes import IGNORED, SPAN_ATTRIBUTES, Kind, Use

HASHED = frozenset(key for key, attribute in SPAN_ATTRIBUTES.items() if attribute.use is Use.HASHED)
"""Keys whose values leave the process as keyed hashes only."""
PSEUDONYMS = frozenset({"owner.hash"})
"""Keys whose values are such hashes already; a value of another form is left out."""


def kind_of(key: str) -> Kind | None:
    """The registered type of an attribute; None for a key that is not registered, or is dropped."""
    attribute = SPAN_ATTRIBUTES.get(key)
    return None if attribute is None or attribute.use is Use.DROPPED else attribute.kind


def is_hashed(name: str) -> bool:
    """Whether the value of an attribute or log field of this name is hashed."""
    return _key(name) in HASHED


def is_dropped(name: str) -> bool:
    """Whether an attribute or log field of this name is left out, although libraries set it."""
    return _key(name) in IGNORED


def is_hash(name: str) -> bool:
    """Whether an attribute or log field of this name takes hashes only."""
    return _key(name) in PSEUDONYMS


_BY_FIELD = {key.replace(".", "_"): key for key in (*HASHED, *PSEUDONYMS, *IGNORED)}


def _key(name: str) -> str:
    return _BY_FIELD.get(name.lower(), name.lower())
