"""Builds the images of the stages and reports their sizes."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared import __version__
from tools.images import base
from tools.images.engine import CA_BUNDLE, Engine
from tools.images.targets import DOCKERFILE, ROOT, Target

SBOM = "/opt/lipstage/share/sbom.cdx.json"
"""Where an image has its bill of materials."""
PUBLIC_BASE = "python:3.11-slim-bookworm"
"""Default of the Dockerfile."""


@dataclass(frozen=True, slots=True)
class Size:
    """What an image adds to its base, in bytes."""

    target: Target
    added: int

    @property
    def fits(self) -> bool:
        """Whether it is within its limit."""
        return self.target.limit_mb is None or self.added <= self.target.limit_mb * 1e6


def tag(target: Target) -> str:
    """The image's name; its version is that of the package."""
    return f"lipstage/{target.name}:{__version__}"


def base_images(engine: Engine) -> tuple[str, str]:
    """The base and the builder's base: those of `make images-base` where it has run, else the public image."""
    if engine.has(base.BASE) and engine.has(base.BUILDER):
        return base.BASE, base.BUILDER
    return PUBLIC_BASE, PUBLIC_BASE


def build(engine: Engine, targets: Sequence[Target], out: Path) -> list[Size]:
    """Build ``targets``, write their bills of materials to ``out``, and measure. Raises EngineError."""
    final, builder = base_images(engine)
    arguments = {"BASE_IMAGE": final, "BUILDER_IMAGE": builder, "VERSION": __version__, "REVISION": revision()}
    bundle = CA_BUNDLE if CA_BUNDLE.is_file() else None
    for target in targets:
        print(f"building {tag(target)} on {final}", flush=True)
        engine.build(ROOT, DOCKERFILE, tag(target), target.name, arguments, bundle)
        engine.copy_out(tag(target), SBOM, out / f"{target.name}.cdx.json")
    return sizes(engine, targets)


def sizes(engine: Engine, targets: Sequence[Target]) -> list[Size]:
    """The sizes of images that are built. Raises EngineError when one is not."""
    final, _ = base_images(engine)
    if not engine.has(final):
        engine.run("pull", final, quiet=False)  # BuildKit keeps the bases of its builds to itself.
    below = engine.size(final)
    return [Size(target, engine.size(tag(target)) - below) for target in targets]


def revision() -> str:
    """The commit of the checkout; ``unknown`` outside of one."""
    result = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"


def table(measured: Sequence[Size]) -> str:
    """The sizes as lines of text."""
    lines = [f"{'image':<14} {'over base':>10} {'limit':>8}"]
    for size in measured:
        limit = "-" if size.target.limit_mb is None else f"{size.target.limit_mb} MB"
        note = "" if size.fits else "  TOO LARGE"
        lines.append(f"{size.target.name:<14} {size.added / 1e6:>7.0f} MB {limit:>8}{note}")
    return "\n".join(lines)
