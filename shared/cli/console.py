"""Output: results on stdout, everything else on stderr; colour and bars only on a terminal."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer


def say(text: str = "") -> None:
    """One line of result."""
    typer.echo(text)


def note(text: str) -> None:
    """One line about how things go; never part of a result."""
    typer.echo(text, err=True)


def emit_json(value: Any) -> None:
    """One JSON document on one line of stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def error(message: str, hint: str | None) -> None:
    """Why a command ends, and what helps."""
    first, *rest = message.splitlines() or ["failed"]
    note(typer.style("error: ", fg="red", bold=True) + first)
    for line in rest:
        note(f"  {line}")
    if hint:
        note(f"  {hint}")


def styled(text: str, *, red: bool = False, dim: bool = False, bold: bool = False) -> str:
    """Marked text; the marks are dropped wherever stdout is no terminal (typer.echo does that)."""
    return typer.style(text, fg="red" if red else None, dim=dim or None, bold=bold or None)


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns under headers, two spaces apart; one line a row, so that it can be piped into other programs."""
    cells = [[str(header) for header in headers], *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    for number, row in enumerate(cells):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        say(styled(line, bold=True) if number == 0 else line)


def on_terminal() -> bool:
    """Whether a person watches what goes to stderr."""
    return sys.stderr.isatty()


def seconds(value: float) -> str:
    """A duration as people read it: ``0.41 s``, ``12.3 s``, ``3 min 05 s``."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 100:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"
