"""The licences of weights that are not ours: shown once, and the answer kept in the state folder."""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from shared.cli import console
from shared.cli.errors import BadUse

if TYPE_CHECKING:
    from shared.local.engine_weights import Catalogue

FILE = "licences.json"
CODE = "LICENCE_NOT_ACCEPTED"


def accepted(needed: "Catalogue", accept: bool) -> dict[str, str]:
    """When and what was accepted; asks on a terminal when it was not. Raises BadUse (LICENCE_NOT_ACCEPTED)."""
    from shared.local.settings import LocalSettings

    path = LocalSettings().state / FILE
    kept = _kept(path)
    names = ", ".join(sorted({file["licence"] for file in needed.files}))
    known = kept.get(needed.engine, {})
    # Other licences than those accepted are a new question.
    if known.get("licences") == names:
        return known
    for line in lines(needed):
        console.note(line)
    if not accept:
        _ask(needed.engine)
    given = {"accepted": datetime.now(UTC).isoformat(timespec="seconds"), "licences": names}
    _keep(path, {**kept, needed.engine: given})
    return given


def lines(needed: "Catalogue") -> list[str]:
    """What the licences are, and of which files."""
    told = [needed.notice]
    for name, text in needed.licences.items():
        parts = ", ".join(file["part"] for file in needed.files if file["licence"] == name)
        told.append(f"  {parts}: {text}")
    return told


def _ask(engine: str) -> None:
    if sys.stdin.isatty() and console.on_terminal():
        console.note("")
        answer = input("Do you accept these licences? [y/N] ")
        if answer.strip().lower() in ("y", "yes"):
            return
    raise BadUse(
        f"{CODE}: the licences of the weights of {engine} are not accepted",
        "read them where the files come from, then say --accept-licence",
    )


def _kept(path: Path) -> dict[str, dict[str, str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(path: Path, content: dict[str, dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(json.dumps(content, indent=1) + "\n")
    new.replace(path)
