"""A base image made by debootstrap, for machines that reach Debian's archive but no registry of images.

It stands for python:slim: Debian 12 with its Python 3.11, and a builder beside it that has the module venv as well.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tools.images.engine import Engine

BASE = "localhost/lipstage/base:bookworm"
BUILDER = "localhost/lipstage/base-builder:bookworm"
ARCHIVE = "http://deb.debian.org/debian"
PACKAGES = ("ca-certificates", "python3")
UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt/archives")
"""Folders that python:slim leaves out, too."""
BUILDER_FILE = f"""\
FROM {BASE}
RUN apt-get update -qq \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null \\
 && rm -rf /var/lib/apt/lists/*
"""


def build_base(engine: Engine) -> None:
    """Make both images; takes about two minutes and needs root. Raises EngineError and CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="lipstage-base-") as folder:
        root = Path(folder) / "root"
        include = f"--include={','.join(PACKAGES)}"
        subprocess.run(["debootstrap", "--variant=minbase", include, "bookworm", root, ARCHIVE], check=True)
        for name in UNUSED:
            for path in (root / name).iterdir():
                path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
        (root / "var/cache/apt/archives/partial").mkdir()  # apt expects it.
        for cache in (root / "var/cache/apt").glob("*.bin"):
            cache.unlink()
        with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as archive:
            engine.run("import", "-", BASE, stdin=archive.stdout)
        dockerfile = Path(folder) / "Dockerfile"
        dockerfile.write_text(BUILDER_FILE)
        engine.build(Path(folder) / "root" / "mnt", dockerfile, BUILDER)  # An empty folder as the context.
