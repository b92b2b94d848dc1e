"""The local object store's keys: created once in `secrets.json` of the state folder, readable by its owner only."""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "secrets.json"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An S3 key pair, and the cache's secret."""

    access_key: str
    secret_key: str
    cache_key: str = ""
    """Secret of the output cache's digests; every service of the stack has the same."""

    def environment(self) -> dict[str, str]:
        """The key pair, by the variable names that every S3 client reads."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def __repr__(self) -> str:
        return f"Credentials({self.access_key!r}, ...)"


def load_or_create(state: Path) -> Credentials:
    """The stack's credentials; written with mode 0600 the first time."""
    path = state / FILE
    if path.exists():
        return Credentials(**json.loads(path.read_text()))
    created = Credentials(f"LIP{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30), secrets.token_urlsafe(30))
    state.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(asdict(created), file)
    return created
