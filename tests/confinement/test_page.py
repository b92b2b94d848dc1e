"""docs/confinement.md lists every attempt, in the order of the tests."""

from pathlib import Path

from tests.confinement.attempts import ATTEMPTS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "confinement.md"


def test_page_has_a_row_for_every_attempt() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("<!-- attempts")[2].partition("<!-- end -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    assert [row[0] for row in rows[2:]] == [attempt.title for attempt in ATTEMPTS]
    assert all(row[2].startswith("denied: ") for row in rows[2:])
