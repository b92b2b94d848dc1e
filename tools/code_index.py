"""Writes the list of source files into CONTRIBUTING.md from docstrings: ``python -m tools.code_index [--check]``."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.generated_page import write

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "CONTRIBUTING.md"
START, END = "<!-- files: generated -->", "<!-- end of files -->"
SHARED = ("messages", "slot", "storage", "telemetry", "runtime", "access", "client", "local", "cli")
STAGES = ("audio", "face", "infer", "encode")


def summary(path: Path) -> str:
    """The first sentence of the module's docstring, without code marks that a table can't hold."""
    docstring = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.!?])\s+(?=[A-Z])", docstring)[0].rstrip(".")
    return sentence.replace("``", "`").replace("|", "\\|")


def files(room: Path) -> Iterator[Path]:
    """The room's files and those of the rooms in it; what holds nothing of its own is left out."""
    for path in sorted(room.rglob("*.py"), key=lambda path: (path.parent, path.name)):
        if path.name != "__init__.py" and path.parent.name != "commands":
            yield path


def index() -> str:
    """One table per room, without the markers."""
    lines = []
    rooms = {f"shared/{room}": files(ROOT / "shared" / room) for room in SHARED}
    rooms |= {f"stages/{stage}": iter(sorted((ROOT / "stages" / stage).glob("*.py"))) for stage in STAGES}
    rooms["stages/gateway"] = files(ROOT / "stages" / "gateway")
    for name, paths in rooms.items():
        lines += [f"\n### {name}\n", "| file | about |", "| --- | --- |"]
        lines += [f"| `{path.relative_to(ROOT)}` | {summary(path)} |" for path in paths]
    return "\n".join(lines) + "\n\n"


def page(text: str) -> str:
    """The page with a current index. Raises ValueError without the markers."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{index()}{END}{after}"


if __name__ == "__main__":
    sys.exit(write(PAGE, page(PAGE.read_text())))
