"""Writes the table of failure classes into docs/delivery.md: ``python -m tools.failure_table [--check]``."""

import sys
from pathlib import Path

from shared.runtime.failure_classes import CLASSES
from tools.generated_page import write

PAGE = Path(__file__).resolve().parents[1] / "docs" / "delivery.md"
START, END = "<!-- failure classes: generated -->", "<!-- end of failure classes -->"
HEADINGS = ("class", "examples", "what the runtime does", "event", "circuit breaker", "metric", "log line")


def table() -> str:
    """The table, without the markers."""
    lines = [f"| {' | '.join(HEADINGS)} |", "| --- " * len(HEADINGS) + "|"]
    for row in CLASSES.values():
        events = ", then ".join(f"`{event}`" for event in row.events)
        cells = (f"**{row.name}**", row.examples, row.action, events, row.breaker, f"`{row.metric}`", f"`{row.log}`")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with a current table. Raises ValueError without the markers."""
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{table()}{END}{after}"


if __name__ == "__main__":
    sys.exit(write(PAGE, page(PAGE.read_text())))
