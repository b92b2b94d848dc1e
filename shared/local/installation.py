"""Where the files of this installation are: in a checkout of the repository, or in an installed package."""

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds `shared` and `stages`: the checkout, or the environment's site-packages."""
SAMPLES = "samples"
DEPLOY = "deploy"


def is_checkout(root: Path = ROOT) -> bool:
    """Whether the code runs from a checkout; otherwise pip has installed it."""
    return (root / "Makefile").is_file() and (root / "pyproject.toml").is_file()


def samples(root: Path = ROOT) -> Path:
    """The folder of the bundled portrait and speech; a wheel carries it inside the package `shared`."""
    return root / SAMPLES if is_checkout(root) else root / "shared" / SAMPLES


def deploy(root: Path = ROOT) -> Path:
    """The folder of the configurations of Tempo, Prometheus and Grafana; a wheel carries it inside `shared`."""
    return root / DEPLOY if is_checkout(root) else root / "shared" / DEPLOY


def downloads(root: Path = ROOT) -> Path:
    """The folder of downloaded files, which every state folder shares: `.lipstage` of the checkout, else the user's
    cache folder (XDG_CACHE_HOME, by default ~/.cache)."""
    if is_checkout(root):
        return root / ".lipstage"
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # The specification of base directories demands that a relative path is ignored.
    return (Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache") / "lipstage"


def import_path(environment: Mapping[str, str], root: Path = ROOT) -> dict[str, str]:
    """PYTHONPATH with which another Python finds this checkout before any other package of the same name.

    Empty for an installed package: its own Python finds it, and another one must not import this one's libraries.
    """
    if not is_checkout(root):
        return {}
    return {"PYTHONPATH": os.pathsep.join([str(root), *filter(None, [environment.get("PYTHONPATH")])])}
