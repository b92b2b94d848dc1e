"""Images of the version before: today's packages with the sources of an earlier commit."""

import os
import subprocess
import tempfile
from pathlib import Path

from tests.conftest import ROOT
from tests.pods.podman import Podman

REF_VARIABLE = "BEFORE"
"""Names another commit than the release before."""
TAG = "before"
SITE = "/opt/lipstage/lib/python3.11/site-packages"
CONTAINERFILE = f"""
ARG IMAGE
FROM ${{IMAGE}}
USER 0
RUN rm -rf {SITE}/shared {SITE}/stages
COPY shared {SITE}/shared
COPY stages {SITE}/stages
RUN /opt/lipstage/bin/python -m compileall -q {SITE}/shared {SITE}/stages
USER 10001:10001
"""


def release_before() -> str:
    """The commit that set the version before today's; BEFORE names another one."""
    if given := os.environ.get(REF_VARIABLE):
        return given
    releases = _git("log", "-2", "--format=%H", "-G", "^__version__ = ", "--", "shared/__init__.py").splitlines()
    assert len(releases) == 2, "this checkout has no history of the version before: BEFORE=COMMIT names it"
    return releases[-1]


def version_of(ref: str) -> str:
    """The version of a commit."""
    return _git("show", f"{ref}:shared/__init__.py").partition('__version__ = "')[2].partition('"')[0]


def build(podman: Podman, ref: str, images: dict[str, str]) -> None:
    """Build ``images`` (name without tag -> image of today) with the tag ``before`` from the sources of ``ref``."""
    with tempfile.TemporaryDirectory(prefix="lipstage-before-") as folder:
        archive = subprocess.run(
            ["git", "-C", ROOT, "archive", ref, "shared", "stages"], capture_output=True, check=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        Path(folder, "Containerfile").write_text(CONTAINERFILE)
        for name, image in images.items():
            podman.run("build", "--isolation=chroot", "--pull-never", f"--build-arg=IMAGE={image}",
                       "--tag", f"{name}:{TAG}", "--file", f"{folder}/Containerfile", folder)  # fmt: skip


def _git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True).stdout.strip()
