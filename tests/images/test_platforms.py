"""Every pinned set has wheels for x86-64 and aarch64, or is known not to. Asks the package index; installs nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tools.images.targets import TARGETS

pytestmark = pytest.mark.images
NO_WHEEL = {("projection", "aarch64"): "faust-streaming"}
"""Packages without a wheel, by image and processor: the image can't be built there."""


@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
@pytest.mark.parametrize("name", [target.name for target in TARGETS])
def test_the_pins_have_wheels(name: str, processor: str, tmp_path: Path) -> None:
    # manylinux_2_28 is Debian 10: older than any base that has Python 3.11.
    pins = ROOT / "requirements" / "images" / f"{name}.txt"
    platform = f"--python-platform={processor}-manylinux_2_28"
    options = ["--no-config", "--dry-run", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    command = [sys.executable, "-m", "uv", "pip", "install", *options, "--python-version=3.11", platform]
    done = subprocess.run([*command, "--target", tmp_path, "-r", pins], capture_output=True, text=True)
    lacking = NO_WHEEL.get((name, processor))
    if lacking is None:
        assert done.returncode == 0, done.stderr
    else:
        assert f"{lacking}==" in done.stderr
        assert "has no usable wheels" in done.stderr, "there is a wheel now: remove it from NO_WHEEL"
