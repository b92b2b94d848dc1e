"""Reads the list of licences, and what the requirement files, the wheels and the broker's jars hold."""

import importlib.metadata
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).with_name("licences.toml")
REQUIREMENTS = ("demo.txt", "projection.txt", "sonic.txt")
"""And those of the images, but for the tools that build them: what reaches a user."""
BUILD = "build.txt"
JARS = ROOT / "shared" / "local" / "kafka-jars.txt"
COPYLEFT = re.compile(r"\b[AL]?GPL-|\bMPL-|\bEPL-")
_PIN = re.compile(r"^([a-z0-9-]+)(?:\[.*?\])?==", re.MULTILINE)
_LIBRARY = re.compile(r"(?P<name>lib.+?)(-r\d+)?(-[0-9a-f]{8})+(\.[0-9.]+[a-z]?)?\.so")


@dataclass(frozen=True, slots=True)
class Licences:
    """SPDX expressions by name."""

    packages: Mapping[str, str]
    notes: Mapping[str, str]
    libraries: Mapping[str, Mapping[str, str]]
    """By package, then by library."""
    jars: Mapping[str, str]
    """By the beginning of the coordinates."""

    def of_jar(self, coordinates: str) -> str | None:
        """The licence of a jar, ``group:name:version``; None where the list has none."""
        return next((licence for prefix, licence in self.jars.items() if coordinates.startswith(prefix)), None)


def read() -> Licences:
    """The list."""
    data = tomllib.loads(FILE.read_text())
    return Licences(data["packages"], data["notes"], data["libraries"], data["jars"])


def pinned() -> dict[str, set[str]]:
    """Every package that reaches a user, with the requirement files that pin it."""
    found: dict[str, set[str]] = {}
    folder = ROOT / "requirements"
    images = [path for path in sorted((folder / "images").glob("*.txt")) if path.name != BUILD]
    for path in [*(folder / name for name in REQUIREMENTS), *images]:
        for package in _PIN.findall(path.read_text()):
            found.setdefault(package, set()).add(str(path.relative_to(folder)).removesuffix(".txt"))
    return found


def jars() -> list[str]:
    """The coordinates of the broker's jars."""
    lines = JARS.read_text().splitlines()
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]


def carried_libraries(package: str) -> set[str]:
    """The native libraries in the installed wheel of a package, beside its own code; none where it is not installed."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        return set()
    names = [Path(str(file)) for file in files if Path(str(file)).parent.name.endswith(".libs")]
    return {
        match["name"] if (match := _LIBRARY.match(path.name)) else path.name for path in names if ".so" in path.name
    }


def stated(package: str) -> tuple[str, str] | None:
    """What the installed package states: its SPDX expression or "", and all other words about its licence.

    None where it is not installed, or states nothing.
    """
    try:
        fields = importlib.metadata.metadata(package).json
    except importlib.metadata.PackageNotFoundError:
        return None
    classifiers = [str(c) for c in fields.get("classifier", []) if str(c).startswith("License")]
    words = " ".join([str(fields.get("license", ""))[:200], *classifiers])
    expression = str(fields.get("license_expression", ""))
    return (expression, words) if expression or words.strip() else None
