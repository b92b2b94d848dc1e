"""Writes deploy/grafana/dashboards, or with ``--check`` compares it; removes files of dashboards that are gone."""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from tools.dashboards import audit, pipeline, quality, reliability

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "dashboards"


def texts() -> dict[str, str]:
    """The dashboards' JSON by file name."""
    made = {
        module.__name__.rpartition(".")[2]: module.dashboard() for module in (pipeline, quality, reliability, audit)
    }
    return {
        f"{name}.json": json.dumps(one.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for name, one in made.items()
    }


def main() -> int:
    """Exit status 1 when ``--check`` finds a difference."""
    wanted = texts()
    found = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    if "--check" in sys.argv[1:]:
        return int(found != wanted)
    for name in found.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
