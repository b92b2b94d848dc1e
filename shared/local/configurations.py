"""The configurations of Tempo, Prometheus and Grafana: the files of deploy/, which the package carries as well."""

import hashlib
from pathlib import Path

from shared.local.installation import deploy


def configuration(name: str) -> Path:
    """The file or folder of that name below deploy/."""
    return deploy() / name


def digest(*files: Path) -> str:
    """A digest of the files' contents. In a program's environment it has `up` restart the program after a change."""
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]
