"""A benchmark's result as one JSON record, with the version and the machine."""

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import shared


def emit(name: str, figures: dict[str, Any]) -> None:
    """Print the record; ``--json FILE`` on the command line also writes it."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--json", type=Path)
    options, _ = parser.parse_known_args()
    record = {
        "benchmark": name,
        "version": shared.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
        **figures,
    }
    text = json.dumps(record, indent=2)
    sys.stdout.write(text + "\n")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text + "\n")
