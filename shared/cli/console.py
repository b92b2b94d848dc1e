"""Output: results on stdout, everything else on stderr; colour and bars only on a terminal.

All output goes through this module, because it makes every text printable. Styles (colour) are added afterwards, which
is why a styled text is an object and not a string with escape sequences.
"""

import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import typer

from shared.cli.printable import as_json, clean


@dataclass(frozen=True, slots=True)
class Styled:
    """A text that is styled when it is printed; ``typer.echo`` drops the style off a terminal."""

    text: str
    red: bool = False
    yellow: bool = False
    dim: bool = False
    bold: bool = False


ERROR = "error: "
INDENT = 2
"""Of the later lines of a text that is broken."""
DEFAULT_COLUMNS = 80
"""Of a terminal that does not say how wide it is."""

Part = str | Styled
"""A piece of a line."""


def say(*parts: Part) -> None:
    """One line of result."""
    typer.echo(line(parts))


def note(*parts: Part) -> None:
    """One line about progress; never part of a result. On a terminal a plain text is broken between words."""
    match parts:
        case (str() as text,):
            for one in wrapped(text, INDENT, width(sys.stderr)):
                typer.echo(clean(one), err=True)
        case _:
            typer.echo(line(parts), err=True)


def line(parts: Iterable[Part]) -> str:
    """The pieces as one printable line, with our styles and no other escape sequences."""
    return "".join(_styled(part) if isinstance(part, Styled) else clean(part) for part in parts)


def _styled(part: Styled) -> str:
    colour = "red" if part.red else "yellow" if part.yellow else None
    return typer.style(clean(part.text), fg=colour, dim=part.dim or None, bold=part.bold or None)


def emit_json(value: Any) -> None:
    """One JSON document on one line of stdout."""
    typer.echo(as_json(value))


def error(message: str, hint: str | None, details: Sequence[str] = ()) -> None:
    """Print why a command ends, further lines, and what helps."""
    columns = width(sys.stderr)
    first, *others = wrapped(message, len(ERROR), columns)
    note(Styled(ERROR, red=True, bold=True), first)
    for other in others:
        note(other)
    for text in (*details, *filter(None, [hint])):
        for number, part in enumerate(wrapped(text, 2, columns)):
            note(f"  {part}" if number == 0 else part)


def warning(text: str) -> Styled:
    """A text in the colour of warnings."""
    return Styled(text, yellow=True)


def styled(text: str, *, red: bool = False, dim: bool = False, bold: bool = False) -> Styled:
    """A text with a style."""
    return Styled(text, red=red, dim=dim, bold=bold)


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns under headers, two spaces apart; one line a row, so that it can be piped into other programs."""
    cells = [[str(header) for header in headers], *([clean(str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    for number, row in enumerate(cells):
        text = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        say(styled(text, bold=True) if number == 0 else text)


def width(stream: TextIO | None = None) -> int | None:
    """Columns of the terminal behind ``stream`` (stdout); None when it is none: lines for programs are not wrapped."""
    if not (stream or sys.stdout).isatty():
        return None
    # shutil's function asks stdout only, which may be a file while stderr is a terminal.
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    return os.get_terminal_size((stream or sys.stdout).fileno()).columns or DEFAULT_COLUMNS


def wrapped(text: str, indent: int, columns: int | None) -> list[str]:
    """The lines of a text that begins at column ``indent``, broken between words; later lines are indented.

    A word that is longer than a line stays whole: it may be an address or a path. Unbroken when ``columns`` is None.
    """
    if columns is None:
        return [text]
    lines = textwrap.wrap(clean(text), max(columns - indent, 20), break_long_words=False, break_on_hyphens=False)
    return [lines[0], *(" " * indent + line for line in lines[1:])] if lines else [""]


def on_terminal() -> bool:
    """Whether stderr is a terminal."""
    return sys.stderr.isatty()


def seconds(value: float) -> str:
    """A duration as people read it: ``0.41 s``, ``12.3 s``, ``3 min 05 s``."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 100:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"


def clock(value: float) -> str:
    """A time that counts, of constant width within an hour: ``0:07``, ``12:30``, ``1:02:03``."""
    minutes, rest = divmod(max(0, round(value)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
