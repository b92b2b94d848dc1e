"""SeaweedFS's own ports: filer, volume server, master and admin server, which stand behind its S3 port.

Without keys each of them serves every user of the machine: the filer reads and writes all objects, past the S3 port and
its identities. With `up --secure` they take requests of each other only: over gRPC with a certificate, over HTTP with a
token. The admin server always asks for a password, which nobody needs.
"""

import hashlib
import hmac
import json
from pathlib import Path

from shared.local.certificates import AUTHORITY, CERTIFICATE, KEY
from shared.local.credentials import Credentials
from shared.local.private_file import write_private

FOLDER, FILE = "store-security", "security.toml"
"""Of the state folder."""
COMPONENTS = ("master", "volume", "filer", "s3", "admin", "worker", "client")


def write(folder: Path, credentials: Credentials, certificates: Path | None) -> Path:
    """Write the file that SeaweedFS reads from ``-config_dir``, and return it.

    The keys are made of the stack's secret: they stay the same as long as it does. ``certificates`` is the folder of
    `shared.local.certificates`; None: every request of this machine is taken.
    """
    sections: dict[str, dict[str, str]] = {"admin": {"user": "admin", "password": _key(credentials, "admin")}}
    if certificates is not None:
        pair = {"cert": str(certificates / CERTIFICATE), "key": str(certificates / KEY)}
        sections |= {
            "jwt.signing": {"key": _key(credentials, "volume write")},
            "jwt.signing.read": {"key": _key(credentials, "volume read")},
            "jwt.filer_signing": {"key": _key(credentials, "filer write")},
            "jwt.filer_signing.read": {"key": _key(credentials, "filer read")},
            "grpc": {"ca": str(certificates / AUTHORITY)},
            **{f"grpc.{component}": pair for component in COMPONENTS},
        }
    # A JSON string is a TOML string.
    lines = [
        line
        for name, values in sections.items()
        for line in (f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), "")
    ]
    path = folder / FILE
    write_private(path, "\n".join(lines))
    return path


def _key(credentials: Credentials, purpose: str) -> str:
    return hmac.new(credentials.secret_key.encode(), purpose.encode(), hashlib.sha256).hexdigest()
