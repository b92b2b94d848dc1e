"""The tables of docs/tenants.md, as the tests read them."""

from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tenants.md"


def table(name: str) -> list[dict[str, str]]:
    """The rows between ``<!-- name -->`` and ``<!-- end of name -->``, by column, without marks of code."""
    text = PAGE.read_text().split(f"<!-- {name} -->")[1].split(f"<!-- end of {name} -->")[0]
    lines = [line.strip().strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip().strip("`") for cell in line] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]
