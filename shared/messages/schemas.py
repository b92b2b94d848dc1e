"""Writes the published documents to docs/schemas: ``python -m shared.messages.schemas [--check]``."""

import json
import sys
from pathlib import Path
from typing import Any

from shared.messages.asyncapi import asyncapi
from shared.messages.json_schemas import json_schemas

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "schemas"


def documents() -> dict[str, str]:
    """The content of every document by file name."""
    contents: dict[str, dict[str, Any]] = {**json_schemas(), "asyncapi.json": asyncapi()}
    return {name: json.dumps(document, indent=2, sort_keys=True) + "\n" for name, document in contents.items()}


def main() -> int:
    """Write the documents, or with ``--check`` compare them; returns 1 when one differs."""
    expected = documents()
    if "--check" in sys.argv[1:]:
        return int(any(not (FOLDER / n).is_file() or (FOLDER / n).read_text() != text for n, text in expected.items()))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in expected.items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
