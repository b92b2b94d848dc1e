"""Writes a generated page, or with ``--check`` compares it: what every ``python -m tools.X_page`` ends with."""

import sys
from pathlib import Path


def write(page: Path, text: str) -> int:
    """Write ``text``; with ``--check`` on the command line compare it instead. Returns the exit status."""
    if "--check" in sys.argv[1:]:
        return int(not page.is_file() or page.read_text() != text)
    page.write_text(text)
    return 0
