"""API keys of the gateway: a file of their hashes, and the keys themselves, which are shown once.

A key is ``lipstage_<id>_<secret>``. The secret has 256 random bits, so that one SHA-256 is a hash that nobody inverts;
the file holds no secret, and may be a ConfigMap.
"""

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from shared.messages.names import NAME

Role = Literal["user", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)
_KEY = re.compile(r"lipstage_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_ID = re.compile(r"[a-z0-9]{12}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key; the secret is not."""

    id: str
    tenant: str
    role: Role
    sha256: str
    """Of the secret, hex."""
    created_ms: int
    expires_ms: int | None = None
    note: str = ""
    """Whose it is, for people."""

    def is_valid(self, now_ms: int) -> bool:
        """Whether it has not expired."""
        return self.expires_ms is None or now_ms < self.expires_ms


class KeyFileInvalid(ValueError):
    """The file is no text, a line of it is no key, or two keys have one id."""


def make(tenant: str, role: Role, *, expires_ms: int | None = None, note: str = "") -> tuple[ApiKey, str]:
    """A new key, and its text. Raises ValueError for a tenant's name that can't be one."""
    if re.fullmatch(NAME, tenant) is None:
        raise ValueError(f"{tenant!r} is not a tenant")
    key_id = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(12))
    secret = secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    created_ms = time.time_ns() // 1_000_000
    return ApiKey(key_id, tenant, role, digest, created_ms, expires_ms, note), f"lipstage_{key_id}_{secret}"


def find(keys: Iterable[ApiKey], text: str, now_ms: int) -> ApiKey | None:
    """The valid key that the text is; None for any other text. Takes as long for a wrong secret as for a right one."""
    matched = _KEY.fullmatch(text)
    if matched is None:
        return None
    key_id, secret = matched.groups()
    digest = hashlib.sha256(secret.encode()).hexdigest()
    for key in keys:
        if key.id == key_id:
            return key if hmac.compare_digest(key.sha256, digest) and key.is_valid(now_ms) else None
    return None


def id_of(text: str) -> str:
    """The id of a key by its text; any other text is taken for an id."""
    matched = _KEY.fullmatch(text)
    return matched[1] if matched is not None else text


def read(path: Path) -> tuple[ApiKey, ...]:
    """The keys of a file, one JSON object a line. Raises KeyFileInvalid, which names the line, and OSError."""
    found = []
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        raise KeyFileInvalid(f"{path} is no text") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_parsed(json.loads(line)))
            except (ValueError, TypeError, KeyError) as e:
                raise KeyFileInvalid(f"line {number} of {path} is no API key: {e}") from None
    if len({key.id for key in found}) < len(found):
        raise KeyFileInvalid(f"{path} has two keys with one id")
    return tuple(found)


def write(path: Path, keys: Iterable[ApiKey]) -> None:
    """Replace the file in one step. One that exists keeps its mode; only its owner may read a new one. Raises
    OSError."""
    path = path.resolve()  # A link stays one.
    text = "".join(json.dumps({n: v for n, v in asdict(key).items() if v not in (None, "")}) + "\n" for key in keys)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            if path.exists():
                os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))
            file.flush()
            os.fsync(descriptor)  # A key that a person has noted down must survive.
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def changing(path: Path) -> Iterator[list[ApiKey]]:
    """The keys of a file, for a change: they are written when the block ends without an error, and no other process
    changes the file meanwhile. A file that does not exist has none. Raises KeyFileInvalid, OSError."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # Of the folder: the file is another one after each change.
        before = read(path) if path.exists() else ()
        keys = list(before)
        yield keys
        if tuple(keys) != before:
            write(path, keys)
    finally:
        os.close(folder)


def _parsed(line: object) -> ApiKey:
    """Raises ValueError, TypeError."""
    if not isinstance(line, dict):
        raise ValueError("not a JSON object")
    key = ApiKey(**line)
    if not (isinstance(key.id, str) and _ID.fullmatch(key.id)):
        raise ValueError("id: 12 of a-z and 0-9")
    if not (isinstance(key.tenant, str) and re.fullmatch(NAME, key.tenant)):
        raise ValueError("tenant: not a tenant's name")
    if key.role not in ROLES:
        raise ValueError(f"role: one of {', '.join(ROLES)}")
    if not (isinstance(key.sha256, str) and _HASH.fullmatch(key.sha256)):
        raise ValueError("sha256: 64 hex digits")
    if not isinstance(key.created_ms, int) or not isinstance(key.expires_ms, int | None):
        raise ValueError("created_ms and expires_ms: whole numbers")
    return key
