"""A benchmark's result as one JSON record: figures, versions, machine, and the digest of the code that it measures."""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import shared
from bench.catalogue import CATALOGUE

HERE = Path(__file__).resolve().parents[1]
_LOAD_AT_START = os.getloadavg()
"""This module is imported before anything is measured."""


def emit(name: str, figures: dict[str, Any]) -> None:
    """Print the record of a benchmark of the catalogue; ``--json FILE`` on the command line also writes it.

    The digest of the code that it measures is part of it, so that ``tools.performance_page`` can tell a record that is
    older than the code.
    """
    measures = CATALOGUE[name].measures
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--json", type=Path)
    options, _ = parser.parse_known_args()
    record = {
        "benchmark": name,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "command": _command(),
        "version": shared.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "load": {"start": [round(v, 2) for v in _LOAD_AT_START], "end": [round(v, 2) for v in os.getloadavg()]},
        "measures": {"paths": list(measures), "sha256": digest(measures)},
        **figures,
    }
    text = json.dumps(record, indent=2)
    sys.stdout.write(text + "\n")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text + "\n")


def digest(paths: Sequence[str], root: Path = HERE) -> str:
    """SHA-256 over names and contents of the source files at or below these paths; caches and results do not count.

    Raises SystemExit for a path that does not exist: the list of a benchmark would no longer name what it measures.
    """
    total = hashlib.sha256()
    for path in paths:
        found = root / path
        if not found.exists():
            raise SystemExit(f"{path} does not exist: a benchmark names it as what it measures")
        files = [found] if found.is_file() else sorted(f for f in found.rglob("*") if f.is_file())
        for file in files:
            name = file.relative_to(root).as_posix()
            if "__pycache__" not in name:
                total.update(name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _command() -> str:
    """How this program was started, without paths of this machine."""
    main = sys.modules["__main__"].__spec__
    module = main.name.removesuffix(".__main__") if main is not None else Path(sys.argv[0]).stem
    words, skip = [], False
    for word in sys.argv[1:]:
        if not skip and word != "--json" and not word.startswith("--json="):
            words.append("CHECKOUT" if word.startswith(("/", "..")) else word)
        skip = word == "--json"
    return " ".join(["python -m", module, *words])


def _commit() -> str:
    """Short id of the checked-out commit, with ``+`` when tracked files differ from it; empty outside git."""
    try:
        command = ["git", "describe", "--always", "--exclude=*", "--abbrev=7", "--dirty=+"]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def _cpu() -> str:
    """Model name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
