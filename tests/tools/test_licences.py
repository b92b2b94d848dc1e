"""Every package, native library and jar beside lipstage has a licence in the list, and states no other one."""

import re

import pytest

from tests.conftest import ROOT
from tools.licences.__main__ import PAGE, page
from tools.licences.listing import COPYLEFT, carried_libraries, jars, pinned, read, stated

LISTED = read()
WORDS = {
    "Apache-2.0": r"apache", "BSD-2-Clause": r"bsd", "BSD-3-Clause": r"bsd", "GPL-2.0-only": r"gpl|general public",
    "ISC": r"isc", "LGPL-3.0-or-later": r"lgpl|lesser", "MIT": r"mit\b", "MPL-2.0": r"mpl|mozilla",
    "PSF-2.0": r"psf|python software", "LicenseRef-NVIDIA-Proprietary": r"nvidia", "LicenseRef-Repoze": r"repoze",
    "Unlicense": r"unlicense",
}  # fmt: skip
"""How packages without an SPDX expression call a licence."""
LOOSE = {"python-dateutil": "Dual License"}


def test_every_package_that_reaches_a_user_is_listed_and_no_other() -> None:
    assert sorted(LISTED.packages) == sorted(pinned()), "edit tools/licences/licences.toml, then make licences"
    assert set(LISTED.notes) | set(LISTED.libraries) <= set(LISTED.packages)


@pytest.mark.parametrize("package", [package for package in sorted(LISTED.packages) if stated(package)])
def test_installed_package_states_the_listed_licence(package: str) -> None:
    expression, words = stated(package) or ("", "")
    if expression:
        assert LISTED.packages[package] == expression
    elif LOOSE.get(package) is None or LOOSE[package] not in words:
        listed = [WORDS[one] for one in re.split(r" (?:OR|AND|WITH \S+) ?", LISTED.packages[package]) if one in WORDS]
        assert listed, f"no words are known for {LISTED.packages[package]}"
        assert all(re.search(one, words, re.IGNORECASE) for one in listed), words


def test_most_packages_are_installed_here_and_compared() -> None:
    assert sum(stated(package) is not None for package in LISTED.packages) > 60


@pytest.mark.parametrize("package", sorted(LISTED.packages))
def test_native_libraries_of_a_wheel_are_listed(package: str) -> None:
    assert carried_libraries(package) <= set(LISTED.libraries.get(package, {}))


def test_libraries_of_wheels_are_seen() -> None:
    assert {"libavcodec", "libx264"} <= carried_libraries("av")


def test_every_jar_is_listed() -> None:
    assert [jar for jar in jars() if LISTED.of_jar(jar) is None] == []
    assert [prefix for prefix in LISTED.jars if not any(jar.startswith(prefix) for jar in jars())] == []


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run make licences"


def test_notice_names_what_has_conditions_on_passing_it_on() -> None:
    notice = (ROOT / "NOTICE").read_text()
    named = {package for package, licence in LISTED.packages.items() if COPYLEFT.search(licence)}
    named |= {package for package, found in LISTED.libraries.items() if any(map(COPYLEFT.search, found.values()))}
    assert [package for package in sorted(named) if package not in notice] == []
    strong = {
        name for found in LISTED.libraries.values() for name, licence in found.items() if licence.startswith("GPL-2")
    }
    assert [name for name in sorted(strong) if name.removeprefix("lib") not in notice] == []


def test_notice_names_every_file_of_others() -> None:
    """Weights, samples and pictures in the repository."""
    notice = (ROOT / "NOTICE").read_text()
    files = [p for folder in ("shared", "stages") for p in (ROOT / folder).rglob("*.onnx")]
    files += [ROOT / "samples" / "portrait.png", ROOT / "samples" / "speech.wav"]
    missing = [str(path.relative_to(ROOT)) for path in files if str(path.relative_to(ROOT)) not in notice]
    assert missing == []
