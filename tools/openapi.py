"""Writes docs/schemas/openapi.json, the gateway's API: ``python -m tools.openapi [--check]``."""

import json
import sys
from pathlib import Path

from stages.gateway.app import make_document
from tools.generated_page import write

PAGE = Path(__file__).resolve().parents[1] / "docs" / "schemas" / "openapi.json"


def text() -> str:
    """The document."""
    return json.dumps(make_document(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(write(PAGE, text()))
