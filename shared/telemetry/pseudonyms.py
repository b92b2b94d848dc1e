"""Pseudonyms: keyed hashes that stand for a person, or for another value that must not leave the service.

A plain hash of a name is reversed with a list of names; a keyed one needs the secret as well. A pseudonym names its
key, ``k1:9f86d081884c7d65``, so that keys can be replaced: the first of ``LIPSTAGE_HASH_KEY`` makes new pseudonyms, and
a search for a person asks for the pseudonym under each of them.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

VARIABLE = "LIPSTAGE_HASH_KEY"
DIGITS = 16
"""Hex digits of a hash, 64 bits: among a million people two share one with a probability below 1e-7."""
MIN_SECRET_BYTES = 16
UNSET_ID = "unset"
"""Key id of the random key that a process uses while the variable is not set."""
_KEY_ID = re.compile(r"[a-z0-9]{1,16}")
_FORM = re.compile(rf"{_KEY_ID.pattern}:[0-9a-f]{{{DIGITS}}}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its id is public, its secret is not."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Key({self.id!r}, ...)"

    def pseudonym(self, value: str) -> str:
        """The pseudonym of a value under this key."""
        digest = hmac.new(self.secret, value.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()
        return f"{self.id}:{digest[:DIGITS]}"


class Pseudonyms:
    """Pseudonyms under one or several keys, the newest first."""

    def __init__(self, keys: Sequence[Key]) -> None:
        """Raises ValueError without a key."""
        if not keys:
            raise ValueError("no key")
        self._keys = tuple(keys)

    def of(self, value: str) -> str:
        """The pseudonym of a value under the newest key."""
        return self._keys[0].pseudonym(value)

    def candidates(self, value: str) -> tuple[str, ...]:
        """Every pseudonym that telemetry may hold for a value, the newest first: one for each key."""
        return tuple(key.pseudonym(value) for key in self._keys)


def parse(text: str) -> Pseudonyms:
    """The keys of ``id:secret[,id:secret...]``, the newest first. Raises ValueError, which quotes no secret."""
    keys = []
    for number, entry in enumerate(text.split(","), 1):
        key_id, colon, secret = entry.strip().partition(":")
        if not colon or not _KEY_ID.fullmatch(key_id) or key_id == UNSET_ID:
            raise ValueError(
                f"entry {number} must be id:secret, the id of 1 to 16 lower-case letters and digits, such as k1"
            )
        if len(secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"the secret of {key_id} needs at least {MIN_SECRET_BYTES} bytes")
        keys.append(Key(key_id, secret.encode()))
    if len({key.id for key in keys}) < len(keys):
        raise ValueError("two keys have the same id")
    return Pseudonyms(keys)


def of_environment() -> Pseudonyms:
    """The keys of ``LIPSTAGE_HASH_KEY``; while it is not set, a random key of this process.

    Raises ValueError for a variable that can't be read.
    """
    text = os.environ.get(VARIABLE)
    return _parsed(text) if text else _random()


def pseudonym(value: str) -> str:
    """The pseudonym of a value under the newest key of the environment. Raises ValueError as ``of_environment``."""
    return of_environment().of(value)


def candidates(value: str) -> tuple[str, ...]:
    """The pseudonym of a value under each key of the environment. Raises ValueError as ``of_environment``."""
    return of_environment().candidates(value)


def is_pseudonym(text: str) -> bool:
    """Whether a text has the form of a pseudonym."""
    return _FORM.fullmatch(text) is not None


_parsed = lru_cache(maxsize=8)(parse)


@cache
def _random() -> Pseudonyms:
    _log.warning("%s is not set: hashes of owners are those of this process only, and no search finds them", VARIABLE)
    return Pseudonyms([Key(UNSET_ID, secrets.token_bytes(32))])
