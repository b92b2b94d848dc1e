"""Licences of weights that are not shipped: shown once; the acceptance is stored in the state folder."""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from shared.cli import console
from shared.cli.errors import BadUse

if TYPE_CHECKING:
    from shared.runtime.weights import Catalogue

FILE = "licences.json"
CODE = "LICENCE_NOT_ACCEPTED"


def accepted(needed: "Catalogue", accept: bool) -> dict[str, str]:
    """Time and names of the accepted licences; prompts on a terminal. Raises BadUse (LICENCE_NOT_ACCEPTED)."""
    from shared.local.settings import LocalSettings

    path = LocalSettings().state / FILE
    stored = _load(path)
    names = ", ".join(sorted({file["licence"] for file in needed.files}))
    previous = stored.get(needed.engine, {})
    # Licences that changed since then must be accepted again.
    if previous.get("licences") == names:
        return previous
    for line in lines(needed):
        console.note(line)
    if not accept:
        _prompt(needed.engine)
    acceptance = {"accepted": datetime.now(UTC).isoformat(timespec="seconds"), "licences": names}
    _save(path, {**stored, needed.engine: acceptance})
    return acceptance


def lines(needed: "Catalogue") -> list[str]:
    """The notice, and each licence with the parts it applies to."""
    result = [needed.notice]
    for name, text in needed.licences.items():
        parts = ", ".join(file["part"] for file in needed.files if file["licence"] == name)
        result.append(f"  {parts}: {text}")
    return result


def _prompt(engine: str) -> None:
    if sys.stdin.isatty() and console.on_terminal():
        console.note("")
        answer = input("Do you accept these licences? [y/N] ")
        if answer.strip().lower() in ("y", "yes"):
            return
    raise BadUse(
        f"{CODE}: the licences of the weights of {engine} are not accepted",
        "read them at the sources of the files, then add --accept-licence",
    )


def _load(path: Path) -> dict[str, dict[str, str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _save(path: Path, content: dict[str, dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(json.dumps(content, indent=1) + "\n")
    new.replace(path)
