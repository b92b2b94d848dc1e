"""Tables and fields that fit the terminal: columns are left out before a line breaks, and no id is ever cut."""

import sys
import textwrap
from collections.abc import Iterable, Sequence

from shared.cli import console
from shared.cli.printable import clean

GAP = 2
INDENT = 9
"""Width of the names in ``fields``."""


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], drop: Iterable[str]) -> None:
    """Print rows under headers.

    Where they are wider than the terminal, the columns ``drop`` are left out, one after the other. Where that is not
    enough, every row gets a line for its first cell, and below it lines for all others that are not ``-``.
    """
    limit = console.width()
    shown = list(range(len(headers)))
    for name in drop:
        if limit is None or _width(headers, rows, shown) <= limit:
            break
        shown.remove(headers.index(name))
    if limit is None or _width(headers, rows, shown) <= limit:
        console.table([headers[c] for c in shown], [[row[c] for c in shown] for row in rows])
        return
    for row in rows:
        console.say(row[0])
        rest = ", ".join(
            f"{name.lower()} {cell}" for name, cell in zip(headers[1:], row[1:], strict=True) if cell != "-"
        )
        for text in textwrap.wrap(clean(rest), limit - GAP, break_long_words=False):
            console.say(" " * GAP + text)


def fields(rows: Iterable[tuple[str, str]], *, err: bool = False) -> None:
    """Print names and texts, with ``err`` on stderr; a text that is wider than the terminal continues below itself."""
    limit = console.width(sys.stderr) if err else console.width()
    say = console.note if err else console.say
    for name, text in rows:
        for number, line in enumerate(console.wrapped(text, INDENT, limit)):
            say(f"{name:<{INDENT}}{line}" if number == 0 else line)


def _width(headers: Sequence[str], rows: Sequence[Sequence[str]], shown: Sequence[int]) -> int:
    widest = [max(len(clean(row[column])) for row in (headers, *rows)) for column in shown]
    return sum(widest) + GAP * (len(shown) - 1)
