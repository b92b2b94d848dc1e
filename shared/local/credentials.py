"""The local object store's keys: created once in `secrets.json` of the state folder, readable by its owner only."""

import json
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from shared.local.private_file import write_private

FILE = "secrets.json"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An S3 key pair, and the cache's secret."""

    access_key: str
    secret_key: str
    cache_key: str = ""
    """Secret of the output cache's digests; every service of the stack has the same."""
    hash_key: str = ""
    """Key of the hashes that stand for owners in telemetry, ``id:secret``."""
    webhook_key: str = ""
    """Secret from which the signing secrets of webhooks derive."""

    def environment(self) -> dict[str, str]:
        """The key pair, by the variable names that every S3 client reads."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def __repr__(self) -> str:
        return f"Credentials({self.access_key!r}, ...)"


def load_or_create(state: Path) -> Credentials:
    """The stack's credentials; written with mode 0600 the first time. A file of an older version is completed."""
    path = state / FILE
    hash_key, webhook_key = f"k1:{secrets.token_urlsafe(30)}", secrets.token_urlsafe(36)
    if path.exists():
        stored = Credentials(**json.loads(path.read_text()))
        if stored.hash_key and stored.webhook_key:
            return stored
        created = replace(stored, hash_key=stored.hash_key or hash_key, webhook_key=stored.webhook_key or webhook_key)
    else:
        words = secrets.token_urlsafe(30), secrets.token_urlsafe(30)
        created = Credentials(f"LIP{secrets.token_hex(8).upper()}", *words, hash_key, webhook_key)
    write_private(path, json.dumps(asdict(created)))
    return created
