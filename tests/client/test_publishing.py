"""A file that a client replaces stays as private as it was."""

import stat
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from shared.client.connection import Connection
from shared.client.download import download
from shared.messages.refs import ArtifactRef


def test_replaced_download_keeps_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "x.mp4"
    target.write_bytes(b"old")
    target.chmod(0o600)
    artifacts = SimpleNamespace(get=lambda _, path: path.write_bytes(b"new"))
    ref = ArtifactRef(key="jobs/x.mp4", sha256="0" * 64, size=3)
    for path, mode in ((target, 0o600), (tmp_path / "fresh.mp4", None)):
        download(cast("Connection", SimpleNamespace(artifacts=artifacts)), ref, path)
        assert path.read_bytes() == b"new"
        assert mode is None or stat.S_IMODE(path.stat().st_mode) == mode
