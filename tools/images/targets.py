"""The images: one for each target of deploy/images/Dockerfile."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "images" / "Dockerfile"
LIMIT_MB = 350
"""The most that an image for the CPU may add to its base, in millions of bytes."""


@dataclass(frozen=True, slots=True)
class Target:
    """A target of the Dockerfile."""

    name: str
    limit_mb: int | None = LIMIT_MB
    """The most that it may add to the base, in millions of bytes; None: no limit."""


TARGETS: tuple[Target, ...] = (
    Target("audio"),
    Target("face"),
    Target("encode"),
    Target("infer-puppet", limit_mb=430),  # OpenCV draws the frames and av codes them, each with its own FFmpeg.
    Target("infer-sonic", limit_mb=None),  # Torch for CUDA is 5 GB.
    Target("relay"),
    Target("projection"),
    Target("gateway", limit_mb=460),  # It checks files by the handlers of audio and face.
    Target("ops"),
)
LARGE = "infer-sonic"
"""Built only when it is asked for: it downloads and keeps more than 5 GB."""


def selected(name: str | None, every: bool = False) -> list[Target]:
    """The target of this name; without a name those that fit a laptop, or all. Raises ValueError for another name."""
    if name is None:
        return [target for target in TARGETS if every or target.name != LARGE]
    found = [target for target in TARGETS if target.name == name]
    if not found:
        raise ValueError(f"there is no image {name!r}; images are {', '.join(target.name for target in TARGETS)}")
    return found
