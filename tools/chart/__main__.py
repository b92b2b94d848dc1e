"""Writes the chart's files/ and README.md; with ``--check`` compares them instead."""

import sys

from tools.chart.files import CHART, files
from tools.chart.readme import readme


def main() -> int:
    """Returns the exit status: 1 when ``--check`` finds a difference."""
    wanted = {**files(), CHART / "README.md": readme()}
    stale = [path for path in (CHART / "files").rglob("*") if path.is_file() and path not in wanted]
    if "--check" in sys.argv[1:]:
        return int(bool(stale) or any(not p.is_file() or p.read_text() != text for p, text in wanted.items()))
    for path in stale:
        path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
