"""Finds the supported Python interpreters of this machine: ``python -m tools.pythons`` prints version and path of each.

It searches PATH and the versions of pyenv and uv, and takes the newest of each minor version.
"""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

MINORS = (11, 12, 13, 14)
_PROBE = """
import sys, sysconfig, venv
if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED") or " " in sys.executable:
    sys.exit(1)
print(*sys.version_info[:3], sys.executable)
"""
"""Fails for a shim whose version is not active, an interpreter without venv or without wheels of the packages, and a
path with spaces, which make can't use."""


def candidates(home: Path, search_path: str) -> list[Path]:
    """Executables named or placed like a supported version."""
    folders = [Path(part) for part in search_path.split(os.pathsep) if part]
    pyenv = Path(os.environ.get("PYENV_ROOT", home / ".pyenv")) / "versions"
    managed = [pyenv, home / ".local" / "share" / "uv" / "python"]
    paths = [folder / f"python3.{minor}" for minor in MINORS for folder in folders]
    paths += [path for root in managed for minor in MINORS for path in sorted(root.glob(f"*/bin/python3.{minor}"))]
    return [path for path in dict.fromkeys(paths) if os.access(path, os.X_OK)]


def usable(paths: Iterable[Path]) -> dict[int, Path]:
    """The newest working interpreter, by minor version."""
    newest: dict[int, tuple[tuple[int, ...], Path]] = {}
    for path in paths:
        try:
            probe = subprocess.run([path, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=30, check=True)
            major, minor, patch, executable = probe.stdout.strip().split(" ", 3)
            version = (int(major), int(minor), int(patch))
        except (OSError, subprocess.SubprocessError, ValueError):
            continue
        if version[0] == 3 and version[1] in MINORS and (version[1] not in newest or version > newest[version[1]][0]):
            newest[version[1]] = (version, Path(executable))
    return {minor: path for minor, (_, path) in sorted(newest.items())}


if __name__ == "__main__":
    # This interpreter is always a candidate.
    paths = [*candidates(Path.home(), os.environ.get("PATH", "")), Path(sys.executable)]
    for minor, interpreter in usable(paths).items():
        print(f"3.{minor} {interpreter}")
