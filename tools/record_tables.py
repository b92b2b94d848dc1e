"""A record's figures as Markdown: nested objects become tables, whatever a benchmark measures."""

from collections.abc import Iterator
from typing import Any

Figures = dict[str, Any]
UNITS = {"s": "s", "ms": "ms", "us": "us", "mb": "MB"}


def sections(figures: Figures, title: str = "") -> Iterator[str]:
    """Tables of the figures, the outermost first; a nested one follows its title."""
    plain = {name: item for name, item in figures.items() if not _is_nested(item)}
    if plain:
        yield _titled(title, _table(("figure", "value"), [(words(name), cell(item)) for name, item in plain.items()]))
    for name, item in figures.items():
        below = f"{title}, {words(name)}" if title else words(name)
        if isinstance(item, list) and _is_nested(item):
            yield _titled(below, _wide(dict(enumerate(item)), with_names=False))
        elif isinstance(item, dict) and item and all(isinstance(row, dict) for row in item.values()) and _is_flat(item):
            yield _titled(below, _wide(item))
        elif isinstance(item, dict):
            yield from sections(item, below)


def words(name: str) -> str:
    """A key as it is read; a unit at its end stands in parentheses."""
    start, _, end = name.rpartition("_")
    return f"{words(start)} ({UNITS[end]})" if start and end in UNITS else name.replace("_", " ")


def cell(item: Any) -> str:
    """A value as it is read."""
    if isinstance(item, bool):
        return "yes" if item else "**no**"
    if isinstance(item, list):
        return ", ".join(map(cell, item)) or "-"
    if isinstance(item, dict):
        return ", ".join(f"{words(name)} {cell(one)}" for name, one in item.items())
    return "-" if item is None else str(item).replace("|", "\\|")


def _is_nested(item: Any) -> bool:
    return isinstance(item, dict) or (isinstance(item, list) and bool(item) and isinstance(item[0], dict))


def _is_flat(rows: dict[str, Figures]) -> bool:
    """Whether each row's values fit into cells: at most one more level, and few columns."""
    columns = {name for row in rows.values() for name in row}
    nested = [one for row in rows.values() for one in row.values() if isinstance(one, dict)]
    return len(columns) <= 9 and all(not any(map(_is_nested, one.values())) and len(one) <= 3 for one in nested)


def _wide(rows: dict[Any, Figures], with_names: bool = True) -> str:
    """One row for each object, with a column for every key."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    head = (("" if with_names else None), *map(words, columns))
    body = [
        ((words(str(name)) if with_names else None), *(cell(row.get(column)) for column in columns))
        for name, row in rows.items()
    ]
    return _table([one for one in head if one is not None], [[one for one in row if one is not None] for row in body])


def _table(head: Any, rows: Any) -> str:
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows]) + "\n"


def _titled(title: str, table: str) -> str:
    return f"**{title[0].upper()}{title[1:]}**\n\n{table}" if title else table
