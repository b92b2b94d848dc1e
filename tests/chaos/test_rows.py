"""The short form of `make chaos`: the rows with the most value, on the session's broker and object store."""

import os
import sys
from pathlib import Path

import pytest

from tests.chaos.rows.all_rows import ROWS
from tests.chaos.rows.table import Row
from tests.chaos.runner import run
from tests.conftest import Infrastructure

SEED = int(os.environ.get("CHAOS_SEED", "12"))


@pytest.mark.timeout(600)  # A row takes half a minute; a loaded machine ten times that.
@pytest.mark.parametrize("row", [row for row in ROWS if row.short], ids=lambda row: f"{row.number} {row.fault}")
def test_nothing_is_lost(row: Row, stack: Infrastructure, tmp_path: Path) -> None:
    result = run(row, stack, tmp_path, SEED)
    print("\n".join(result.lines()), file=sys.stderr)
    if result.skipped:
        pytest.skip(result.skipped)
    assert result.ok, "\n".join(result.lines())
